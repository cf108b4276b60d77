//! Loom models of what is lock-free or hands over here: each function explores one race.
//!
//! They go through the public types, whose checkpoints always stand open under loom.

mod channels;

pub use channels::*;

use crate::{Event, Mutex, Notify, OnceCell, RwLock, Semaphore};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// An event is set while a task begins to wait for it: the task is woken.
pub fn event_set_against_wait() {
    loom::model(|| {
        let event = loom::sync::Arc::new(Event::new());
        let setter = spawn_with(&event, |event| event.set());
        block_on(event.wait());
        assert!(event.is_set());
        setter.join().unwrap();
    });
}

/// An event is set while one of its two waiters goes away: the other is woken.
pub fn event_set_against_drop() {
    loom::model(|| {
        let event = loom::sync::Arc::new(Event::new());
        let mut staying = Box::pin(event.wait());
        {
            let mut leaving = pin!(event.wait());
            assert!(poll_once(leaving.as_mut()).is_pending());
            assert!(poll_once(staying.as_mut()).is_pending());
            let setter = spawn_with(&event, |event| event.set());
            drop(setter);
        }
        block_on(staying.as_mut());
    });
}

/// A lock is released while a task begins to wait for it.
pub fn unlock_against_lock() {
    loom::model(|| {
        let lock = loom::sync::Arc::new(Mutex::new(1));
        let other = lock.clone();
        let locking = thread::spawn(move || *block_on(other.lock()).unwrap() += 1);
        *block_on(lock.lock()).unwrap() += 1;
        locking.join().unwrap();
        assert_eq!(*lock.try_lock().unwrap(), 3);
    });
}

/// A lock is released while the first of two who wait goes away: the second gets it.
pub fn unlock_against_dropped_lock() {
    loom::model(|| {
        let lock = loom::sync::Arc::new(Mutex::new(0));
        let guard = lock.try_lock().unwrap();
        let mut second = pin!(lock.lock());
        let leaving = {
            let mut first = Box::pin(own(&lock));
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            thread::spawn(move || drop(first))
        };
        drop(guard);
        *block_on(second).unwrap() += 1;
        leaving.join().unwrap();
        assert_eq!(*lock.try_lock().unwrap(), 1);
        assert_eq!(lock.statistics().tasks_waiting, 0);
    });
}

fn own(lock: &loom::sync::Arc<Mutex<i32>>) -> impl Future<Output = ()> + Send + use<> {
    let lock = lock.clone();
    async move { drop(lock.lock().await) }
}

/// Three threads that take and give a lock: it ends free, by way of the line or not.
pub fn lock_by_three() {
    loom::model(|| {
        let lock = loom::sync::Arc::new(Mutex::new(0));
        let others: Vec<_> = (0..2).map(|_| spawn_with(&lock, |lock| *block_on(lock.lock()).unwrap() += 1)).collect();
        *block_on(lock.lock()).unwrap() += 1;
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.try_lock().unwrap(), 3);
    });
}

/// Two want the value of a cell; a third begins to make it, or to wait for it, goes away, and comes again: one makes it, and all have it.
pub fn a_cell_that_is_made_lets_all_in() {
    loom::model(|| {
        let cell = loom::sync::Arc::new(OnceCell::new());
        let made = loom::sync::Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let made = made.clone();
                spawn_with(&cell, move |cell| {
                    let value = block_on(cell.get_or_init(async || made.fetch_add(1, Ordering::Relaxed)));
                    assert_eq!(*value, 0);
                })
            })
            .collect();
        let _ = poll_once(pin!(cell.get_or_init(std::future::pending::<usize>)));
        assert_eq!(*block_on(cell.get_or_init(async || made.fetch_add(1, Ordering::Relaxed))), 0);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    });
}

/// Permits come back one by one to one who wants two, and one who wants one stands behind; the first may go away.
pub fn permits_come_back_against_dropped_wait() {
    loom::model(|| {
        let semaphore = loom::sync::Arc::new(Semaphore::new(2));
        let (one, two) = (semaphore.try_acquire().unwrap(), semaphore.try_acquire().unwrap());
        let leaving = {
            let semaphore = semaphore.clone();
            let mut many = Box::pin(async move { drop(semaphore.acquire_many(2).await) });
            assert!(poll_once(many.as_mut()).is_pending());
            thread::spawn(move || drop(many))
        };
        let few = spawn_with(&semaphore, |semaphore| drop(block_on(semaphore.acquire())));
        drop(one);
        drop(two);
        leaving.join().unwrap();
        few.join().unwrap();
        assert_eq!(semaphore.available(), 2);
    });
}

/// Two readers are let in, one by one, while another has gone already: the permits are all there in the end.
pub fn readers_let_in_against_readers_that_leave() {
    loom::model(|| {
        let lock = loom::sync::Arc::new(RwLock::new(0));
        let writer = lock.try_write().unwrap();
        let reading: Vec<_> = (0..2).map(|_| spawn_with(&lock, |lock| drop(block_on(lock.read()).unwrap()))).collect();
        drop(writer);
        for reader in reading {
            reader.join().unwrap();
        }
        assert!(lock.try_write().is_ok());
    });
}

/// Two wait for permits; while they are served one goes away and the other one is through: whoever served them finds an empty line, in which nothing is his to settle.
pub fn a_line_that_empties_while_it_is_served() {
    loom::model(|| {
        let semaphore = loom::sync::Arc::new(Semaphore::new(2));
        let both = semaphore.try_acquire_many(2).unwrap();
        let (one, two) = (semaphore.clone(), semaphore.clone());
        let mut stays = Box::pin(async move { drop(one.acquire().await) });
        let mut leaves = Box::pin(async move { drop(two.acquire().await) });
        assert!(poll_once(stays.as_mut()).is_pending());
        assert!(poll_once(leaves.as_mut()).is_pending());
        let others = thread::spawn(move || {
            drop(leaves);
            block_on(stays);
        });
        drop(both);
        others.join().unwrap();
        assert_eq!(semaphore.available(), 2);
    });
}

/// Two notifications come while one task begins to wait, and the wait of another goes away: the one who stays is told, and at most one is kept.
pub fn notify_against_wait_and_drop() {
    loom::model(|| {
        let notify = loom::sync::Arc::new(Notify::new());
        let leaving = {
            let notify = notify.clone();
            let mut wait = Box::pin(async move { notify.wait().await });
            assert!(poll_once(wait.as_mut()).is_pending());
            thread::spawn(move || drop(wait))
        };
        let notifying = spawn_with(&notify, |notify| {
            notify.notify_one();
            notify.notify_one();
        });
        block_on(notify.wait());
        leaving.join().unwrap();
        notifying.join().unwrap();
        let _one_is_kept = notify.try_wait();
        assert!(!notify.try_wait());
    });
}

/// All who wait are told while one of two goes away: the one who stays is told, and nothing is left.
pub fn notify_all_against_wait_and_drop() {
    loom::model(|| {
        let notify = loom::sync::Arc::new(Notify::new());
        let mut stays = pin!(notify.wait());
        let leaving = {
            let notify = notify.clone();
            let mut wait = Box::pin(async move { notify.wait().await });
            assert!(poll_once(wait.as_mut()).is_pending());
            assert!(poll_once(stays.as_mut()).is_pending());
            thread::spawn(move || drop(wait))
        };
        let telling = spawn_with(&notify, |notify| {
            notify.notify_all();
        });
        block_on(stays);
        leaving.join().unwrap();
        telling.join().unwrap();
        assert!(!notify.try_wait());
        assert_eq!(notify.statistics().tasks_waiting, 0);
    });
}

fn spawn_with<T: Send + Sync + 'static>(
    shared: &loom::sync::Arc<T>,
    act: impl FnOnce(&T) + Send + 'static,
) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || act(&shared))
}

/// Polls with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
