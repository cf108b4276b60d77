//! Parking lots, and events.

use crate::common::{all_wait, cancel_while_waiting};
use futures_util::future::FutureExt;
use futures_util::poll;
use std::sync::{Arc, Mutex};
use trioxide_runtime::{nursery, run};
use trioxide_sync::{Event, ParkingLot};

/// Parks `count` children in order; each notes its number when it is woken.
async fn parked(
    lot: &ParkingLot,
    n: &trioxide_runtime::Nursery<std::convert::Infallible>,
    numbers: std::ops::Range<usize>,
) -> Arc<Mutex<Vec<usize>>> {
    let woken = Arc::new(Mutex::new(vec![]));
    let before = lot.statistics().tasks_waiting;
    for (index, number) in numbers.enumerate() {
        let (lot_of_child, woken) = (lot.clone(), woken.clone());
        n.spawn(async move {
            lot_of_child.park().await.unwrap();
            woken.lock().unwrap().push(number);
        });
        all_wait().await;
        assert_eq!(lot.statistics().tasks_waiting, before + index + 1);
    }
    woken
}

#[test]
fn c122_waking_is_first_in_first_out_and_by_count() {
    run(nursery(async |n| {
        let lot = ParkingLot::new();
        assert_eq!((lot.unpark(1), lot.unpark_all()), (0, 0));
        let woken = parked(&lot, &n, 0..3).await;
        for expected in 1..=3 {
            assert_eq!(lot.unpark(1), 1);
            all_wait().await;
            assert_eq!(woken.lock().unwrap().len(), expected);
        }
        assert_eq!(*woken.lock().unwrap(), [0, 1, 2]);

        let woken = parked(&lot, &n, 0..3).await;
        assert_eq!(lot.unpark_all(), 3);
        all_wait().await;
        assert_eq!(woken.lock().unwrap().len(), 3);

        let woken = parked(&lot, &n, 0..3).await;
        assert_eq!(lot.unpark(2), 2);
        all_wait().await;
        assert_eq!(woken.lock().unwrap().len(), 2);
        assert_eq!(lot.statistics().tasks_waiting, 1);
        assert_eq!(lot.unpark(5), 1);
        all_wait().await;
        assert_eq!(woken.lock().unwrap().len(), 3);
        assert_eq!(woken.lock().unwrap()[2], 2);
    }));
}

#[test]
fn c123_a_cancelled_waiter_is_removed_and_the_others_are_not() {
    run(async {
        let lot = ParkingLot::new();
        let mut first = Box::pin(lot.park());
        let mut third = Box::pin(lot.park());
        assert!(poll!(first.as_mut()).is_pending());
        cancel_while_waiting(lot.park()).await;
        assert!(poll!(third.as_mut()).is_pending());
        assert_eq!(lot.statistics().tasks_waiting, 2);
        assert_eq!(lot.unpark(1), 1);
        assert_eq!(first.await, Ok(()));
        assert!(poll!(third.as_mut()).is_pending());
        lot.unpark(1);
        assert_eq!(third.await, Ok(()));
    });
}

/// What Trio need not ask: dropped after it was woken, it passes that on.
#[test]
fn c123_a_wake_of_one_that_is_dropped_goes_to_the_next() {
    run(async {
        let lot = ParkingLot::new();
        let mut first = Box::pin(lot.park());
        let mut second = Box::pin(lot.park());
        assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
        lot.unpark(1);
        drop(first);
        assert_eq!(second.now_or_never(), Some(Ok(())));
    });
}

#[test]
fn c124_waiters_move_in_order_and_can_be_cancelled_where_they_are() {
    run(async {
        let (from, to) = (ParkingLot::new(), ParkingLot::new());
        let mut parks: Vec<_> = (0..5).map(|_| Box::pin(from.park())).collect();
        for park in &mut parks {
            assert!(poll!(park.as_mut()).is_pending());
        }
        let mut there_before = Box::pin(to.park());
        assert!(poll!(there_before.as_mut()).is_pending());
        assert_eq!(from.repark(&from, 5), 0);
        assert_eq!(from.repark(&to, 3), 3);
        assert_eq!((from.statistics().tasks_waiting, to.statistics().tasks_waiting), (2, 4));
        drop(parks.remove(1));
        assert_eq!((from.statistics().tasks_waiting, to.statistics().tasks_waiting), (2, 3));
        assert_eq!(to.unpark(2), 2);
        assert_eq!(there_before.await, Ok(()));
        assert_eq!(parks.remove(0).await, Ok(()));
        assert_eq!(from.repark_all(&to), 2);
        assert_eq!(to.unpark_all(), 3);
        for park in parks {
            assert_eq!(park.await, Ok(()));
        }
        assert_eq!(to.statistics().tasks_waiting, 0);
    });
}

#[test]
fn c125_waiters_of_a_broken_lot_and_those_who_come_are_told_who_broke_it() {
    run(nursery(async |n| {
        let lot = ParkingLot::new();
        let mut park = Box::pin(lot.park());
        assert!(poll!(park.as_mut()).is_pending());
        let breaking = lot.clone();
        let first = n.spawn(async move { breaking.break_lot() }).id();
        let broken = park.await.unwrap_err();
        assert_eq!(broken.by(), [first]);
        assert_eq!(lot.park().await, Err(broken.clone()));
        assert_eq!(broken.to_string(), format!("the parking lot is broken by task {first}"));
        // Moved into a broken lot they are told, too.
        let other = ParkingLot::new();
        let mut park = Box::pin(other.park());
        assert!(poll!(park.as_mut()).is_pending());
        assert_eq!(other.repark_all(&lot), 1);
        assert_eq!(park.await, Err(broken));
    }));
}

/// In Rust a registration is a value. So a task that has ended cannot register, and one that was not made cannot be removed.
#[test]
fn c126_a_lot_breaks_when_a_task_ends_that_was_to_unpark() {
    run(nursery(async |n| {
        let lot = ParkingLot::new();
        let (breaking, end) = (lot.clone(), Arc::new(Event::new()));
        let ends = end.clone();
        let task = n.spawn(async move {
            let twice = (breaking.breaker(), breaking.breaker());
            twice.1.remove();
            ends.wait().await;
            let _kept = twice.0;
        });
        let mut park = Box::pin(lot.park());
        assert!(poll!(park.as_mut()).is_pending());
        end.set();
        assert_eq!(park.await.unwrap_err().by(), [task.id()]);

        let lot = ParkingLot::new();
        let harmless = lot.clone();
        n.spawn(async move {
            let (one, two) = (harmless.breaker(), harmless.breaker());
            one.remove();
            two.remove();
        })
        .await
        .unwrap();
        assert_eq!(lot.statistics().broken, None);

        let names: Vec<_> = {
            let lot = &lot;
            let breaking = (lot.clone(), lot.clone());
            vec![
                n.spawn(async move { drop(breaking.0.breaker()) }).id(),
                n.spawn(async move { drop(breaking.1.breaker()) }).id(),
            ]
        };
        all_wait().await;
        assert!(lot.statistics().broken.is_some_and(|broken| broken.by().len() == 2));
        let broken = lot.park().await.unwrap_err();
        assert!(names.iter().all(|name| broken.by().contains(name)));
    }));
}

#[test]
fn c132_an_event_wakes_all_and_waiting_for_a_set_one_is_a_checkpoint() {
    run(async {
        let event = Event::new();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(event.wait())).collect();
        for wait in &mut waits {
            assert!(poll!(wait.as_mut()).is_pending());
        }
        assert_eq!(event.statistics().tasks_waiting, 3);
        event.set();
        assert_eq!(event.statistics().tasks_waiting, 0);
        for wait in waits {
            wait.await;
        }
        event.wait().await;
        crate::common::begin_in_cancelled_scope(event.wait()).await;
    });
}
