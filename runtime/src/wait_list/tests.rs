//! The queue by itself, without a run: each waiter is polled by hand.

use super::*;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

/// Two queues; the payloads are numbers.
type Numbers = Lot<(), u32, 2>;

/// A waker that takes the lock of the lot whenever it is woken or dropped: it would hang under it.
struct Probe {
    lot: Arc<Numbers>,
    woken: Arc<AtomicUsize>,
}

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        drop(self.lot.lock());
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.lot.lock());
    }
}

struct Fixture {
    lot: Arc<Numbers>,
    woken: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Self {
        Self { lot: Arc::new(Lot::new(())), woken: Arc::default() }
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::new(Probe { lot: self.lot.clone(), woken: self.woken.clone() }))
    }

    fn woken(&self) -> usize {
        self.woken.load(Ordering::Relaxed)
    }

    fn enter(&self, waiter: Pin<&mut Waiter<'_, (), u32, 2>>, queue: usize, payload: u32) {
        let waker = self.waker();
        waiter.enter(&mut self.lot.lock(), queue, payload, &waker);
    }

    fn poll(&self, waiter: Pin<&mut Waiter<'_, (), u32, 2>>) -> Poll<u32> {
        let waker = self.waker();
        waiter.poll(&mut Context::from_waker(&waker))
    }

    fn notify(&self, queue: usize, payload: u32) -> Option<u32> {
        self.lot.lock().notify_first(queue, |cell| std::mem::replace(cell, payload))
    }

    fn waiting(&self) -> [usize; 2] {
        let locked = self.lot.lock();
        [locked.waiting(0), locked.waiting(1)]
    }
}

#[test]
fn notifies_in_the_order_of_arrival_and_hands_payloads_both_ways() {
    let f = Fixture::new();
    let mut a = pin!(Waiter::new(&f.lot));
    let mut b = pin!(Waiter::new(&f.lot));
    f.enter(a.as_mut(), 0, 1);
    f.enter(b.as_mut(), 0, 2);
    assert_eq!(f.waiting(), [2, 0]);
    assert_eq!(f.notify(0, 10), Some(1));
    assert_eq!((f.woken(), f.waiting()), (1, [1, 0]));
    assert_eq!(f.poll(b.as_mut()), Poll::Pending);
    assert_eq!(f.poll(a.as_mut()), Poll::Ready(10));
    assert_eq!(f.notify(0, 20), Some(2));
    assert_eq!(f.notify(0, 30), None);
    assert_eq!(f.poll(b.as_mut()), Poll::Ready(20));
}

#[test]
fn queues_of_a_lot_are_separate() {
    let f = Fixture::new();
    let mut a = pin!(Waiter::new(&f.lot));
    let mut b = pin!(Waiter::new(&f.lot));
    f.enter(a.as_mut(), 0, 1);
    f.enter(b.as_mut(), 1, 2);
    assert_eq!(f.notify(1, 0), Some(2));
    assert_eq!(f.waiting(), [1, 0]);
    assert_eq!(f.notify(1, 0), None);
    assert_eq!(f.notify(0, 0), Some(1));
}

/// Leaving from each place of a queue of three keeps the others linked, in order.
#[test]
fn leaves_from_any_place() {
    for leaving in 0..3 {
        let f = Fixture::new();
        let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(Waiter::new(&f.lot))).collect();
        for (number, waiter) in waiters.iter_mut().enumerate() {
            f.enter(waiter.as_mut(), 0, number as u32);
        }
        let left = waiters[leaving].as_mut().leave();
        assert_eq!(left, Some(Left::Waiting(leaving as u32)));
        assert_eq!(waiters[leaving].as_mut().leave(), None);
        f.enter(waiters[leaving].as_mut(), 0, 9);
        let order: Vec<_> = std::iter::from_fn(|| f.notify(0, 0)).collect();
        let mut expected: Vec<_> = (0..3).filter(|&n| n != leaving as u32).collect();
        expected.push(9);
        assert_eq!(order, expected);
    }
}

#[test]
fn a_dropped_waiter_is_out_of_its_queue() {
    let f = Fixture::new();
    let mut last = pin!(Waiter::new(&f.lot));
    {
        let mut dropped = pin!(Waiter::new(&f.lot));
        f.enter(dropped.as_mut(), 0, 1);
        f.enter(last.as_mut(), 0, 2);
        assert_eq!(f.waiting(), [2, 0]);
    }
    assert_eq!(f.waiting(), [1, 0]);
    assert_eq!(f.notify(0, 0), Some(2));
    assert_eq!(f.woken(), 1);
}

#[test]
fn leaving_after_a_notification_returns_what_was_handed() {
    let f = Fixture::new();
    let mut waiter = pin!(Waiter::new(&f.lot));
    f.enter(waiter.as_mut(), 0, 1);
    f.notify(0, 7);
    assert_eq!(waiter.as_mut().leave(), Some(Left::Notified(7)));
    assert!(!waiter.has_entered());
}

#[test]
fn the_waker_of_the_last_poll_is_called() {
    let f = Fixture::new();
    let mut waiter = pin!(Waiter::new(&f.lot));
    f.enter(waiter.as_mut(), 0, 1);
    let last = Fixture::new();
    let waker = last.waker();
    let mut cx = Context::from_waker(&waker);
    assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Pending);
    assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Pending);
    f.notify(0, 0);
    assert_eq!((f.woken(), last.woken()), (0, 1));
}

#[test]
fn notify_all_goes_through_several_batches() {
    let f = Fixture::new();
    let count = 2 * BATCH + 1;
    let mut waiters: Vec<_> = (0..count).map(|_| Box::pin(Waiter::new(&f.lot))).collect();
    for waiter in &mut waiters {
        f.enter(waiter.as_mut(), 1, 5);
    }
    f.lot.notify_all(0);
    assert_eq!(f.woken(), 0);
    f.lot.notify_all(1);
    assert_eq!((f.woken(), f.waiting()), (count, [0, 0]));
    for waiter in &mut waiters {
        assert_eq!(f.poll(waiter.as_mut()), Poll::Ready(5));
    }
}

#[test]
#[should_panic(expected = "another lot's lock")]
fn refuses_the_lock_of_another_lot() {
    let f = Fixture::new();
    let other = Numbers::new(());
    let waker = f.waker();
    pin!(Waiter::new(&f.lot)).enter(&mut other.lock(), 0, 0, &waker);
}

#[test]
#[should_panic(expected = "one queue at a time")]
fn refuses_to_enter_twice() {
    let f = Fixture::new();
    let mut waiter = pin!(Waiter::new(&f.lot));
    let waker = Waker::noop();
    waiter.as_mut().enter(&mut f.lot.lock(), 0, 0, waker);
    waiter.as_mut().enter(&mut f.lot.lock(), 1, 0, waker);
}

/// A waiter that has been notified may enter again at the place that it had: before those with a higher number.
#[test]
fn who_enters_again_may_have_its_old_place() {
    let f = Fixture::new();
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(Waiter::new(&f.lot))).collect();
    for (number, waiter) in waiters.iter_mut().enumerate() {
        f.enter(waiter.as_mut(), 0, number as u32);
    }
    assert_eq!(f.lot.lock().front(0).copied(), Some(0));
    let (number, waker) = {
        let mut locked = f.lot.lock_quietly();
        let (payload, waker) = locked.first(0).unwrap();
        let handed = (*payload, waker.take());
        locked.notify_first(0);
        handed
    };
    assert_eq!((number, f.waiting(), f.woken()), (0, [2, 0], 0));
    waker.unwrap().wake();
    assert_eq!((f.woken(), waiters[0].as_mut().take_notified()), (1, Some(0)));
    for waiter in [0, 2] {
        if waiter == 2 {
            assert_eq!(waiters[2].as_mut().withdraw_from(&mut f.lot.lock()), Some(2));
        }
        let number = waiter as u32;
        let enters = waiters[waiter].as_mut();
        enters.enter_before(&mut f.lot.lock_quietly(), 0, number, f.waker(), |payload| *payload > number);
        assert_eq!(f.waiting(), [3, 0]);
    }
    let waker = f.waker();
    assert_eq!(waiters[0].as_mut().renew(&mut f.lot.lock(), &waker, |payload| *payload), Some(0));
    assert_eq!(std::iter::from_fn(|| f.notify(0, 9)).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((waiters[0].as_mut().renew(&mut f.lot.lock(), &waker, |payload| *payload), f.woken()), (None, 4));
}

/// Both wakers leave with the lock: dropped under it, the probes would hang.
#[test]
fn a_waiter_is_renewed_and_withdrawn_under_one_locking() {
    let f = Fixture::new();
    let mut waiter = pin!(Waiter::new(&f.lot));
    f.enter(waiter.as_mut(), 0, 1);
    {
        let mut locked = f.lot.lock();
        let last = f.waker();
        assert_eq!(waiter.as_mut().renew(&mut locked, &last, |payload| std::mem::replace(payload, 2)), Some(1));
        assert_eq!(waiter.as_mut().withdraw_from(&mut locked), Some(2));
        drop(locked);
        drop(last);
    }
    assert_eq!((waiter.has_entered(), f.waiting(), f.woken()), (false, [0, 0], 0));
}

#[test]
#[should_panic(expected = "one withdrawal per locking")]
fn refuses_to_drop_a_waker_under_the_lock() {
    let f = Fixture::new();
    let (mut a, mut b) = (pin!(Waiter::new(&f.lot)), pin!(Waiter::new(&f.lot)));
    a.as_mut().enter(&mut f.lot.lock(), 0, 1, Waker::noop());
    b.as_mut().enter(&mut f.lot.lock(), 0, 2, Waker::noop());
    let mut locked = f.lot.lock();
    a.as_mut().withdraw_from(&mut locked);
    b.as_mut().withdraw_from(&mut locked);
}

#[test]
fn one_is_relocated_by_its_payload_and_withdrawn_under_the_lock() {
    let f = Fixture::new();
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(Waiter::new(&f.lot))).collect();
    for (number, waiter) in waiters.iter_mut().enumerate() {
        f.enter(waiter.as_mut(), 0, number as u32);
    }
    assert!(f.lot.lock_quietly().relocate(0, 1, |payload| *payload == 1));
    assert!(!f.lot.lock_quietly().relocate(0, 1, |payload| *payload == 1));
    assert_eq!(f.waiting(), [2, 1]);
    let mut seen = vec![];
    f.lot.lock_quietly().each(0, |payload| seen.push(*payload));
    assert_eq!(seen, [0, 2]);
    assert_eq!(waiters[1].as_mut().withdraw_from(&mut f.lot.lock()), Some(1));
    assert_eq!(waiters[1].as_mut().withdraw_from(&mut f.lot.lock()), None);
    assert!(!waiters[1].has_entered());
    assert_eq!(f.waiting(), [2, 0]);
    // In the middle of a queue.
    waiters[1].as_mut().enter_before(&mut f.lot.lock_quietly(), 0, 1, f.waker(), |payload| *payload == 2);
    assert_eq!(std::iter::from_fn(|| f.notify(0, 9)).collect::<Vec<_>>(), [0, 1, 2]);
}
