//! Locks for readers: many of them or one writer, nobody starved.

use crate::common::{WORKERS, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use trioxide_runtime::{checkpoint, nursery, run};
use trioxide_sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use trioxide_testing::on_each;

/// `-1`: somebody writes; else so many read.
#[test]
fn many_readers_or_one_writer() {
    on_each(WORKERS, async || {
        let lock = Arc::new(RwLock::new(0u32));
        let inside = Arc::new(AtomicI32::new(0));
        nursery(async |n| {
            for task in 0..8 {
                let (lock, inside) = (lock.clone(), inside.clone());
                n.spawn(async move {
                    for round in 0..150 {
                        if (task + round) % 4 == 0 {
                            let mut guard = lock.write().await.unwrap();
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 0);
                            *guard += 1;
                            checkpoint().await;
                            inside.fetch_add(1, Ordering::SeqCst);
                        } else {
                            let _guard = lock.read().await.unwrap();
                            assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0);
                            checkpoint().await;
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        })
        .await;
        let now = lock.statistics();
        assert_eq!((now.readers, now.writing, now.tasks_waiting), (0, false, 0));
        // A quarter of 150 rounds, rounded by task.
        assert_eq!(*lock.read().await.unwrap(), 300);
    });
}

#[test]
fn a_writer_that_waits_keeps_later_readers_out_and_they_come_in_together() {
    on_each(WORKERS, async || {
        let lock = RwLock::new(0);
        let reader = lock.read().await.unwrap();
        let mut writer = pin!(lock.write());
        assert!(poll!(writer.as_mut()).is_pending());
        let (mut one, mut two) = (pin!(lock.read()), pin!(lock.read()));
        assert!(poll!(one.as_mut()).is_pending() && poll!(two.as_mut()).is_pending());
        assert!(lock.try_read().is_err());
        let now = lock.statistics();
        assert_eq!((now.readers, now.writing, now.tasks_waiting), (1, false, 3));
        drop(reader);
        *writer.await.unwrap() = 1;
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!((*one, *two, lock.statistics().readers), (1, 1, 2));
    });
}

#[test]
fn a_cancelled_writer_lets_the_readers_behind_it_in() {
    on_each(WORKERS, async || {
        let lock = RwLock::new(());
        let reader = lock.read().await.unwrap();
        let mut behind = pin!(lock.read());
        {
            let mut writer = pin!(lock.write());
            assert!(poll!(writer.as_mut()).is_pending());
            assert!(poll!(behind.as_mut()).is_pending());
        }
        drop(behind.await.unwrap());
        cancel_while_waiting(async { drop(lock.write().await) }).await;
        drop_after(lock.write(), || drop(reader)).await;
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn owned_and_mapped_guards() {
    on_each(WORKERS, async || {
        let lock = Arc::new(RwLock::new((1, vec![2, 3])));
        let mut pair = lock.clone().write_owned().await.unwrap();
        pair.1.push(4);
        let list = OwnedRwLockReadGuard::map(OwnedRwLockWriteGuard::downgrade(pair), |pair| &pair.1);
        let first = OwnedRwLockReadGuard::map(lock.clone().read_owned().await.unwrap(), |pair| &pair.0);
        assert_eq!((*first, &list[..]), (1, &[2, 3, 4][..]));
        assert!(lock.try_write().is_err());
        drop((first, list));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_writer_that_panics_breaks_the_lock_and_a_reader_does_not() {
    run(async {
        let lock = RwLock::new(1);
        let panics = |write: bool| {
            catch_unwind(AssertUnwindSafe(|| {
                let guards = (write.then(|| lock.try_write().unwrap()), (!write).then(|| lock.try_read().unwrap()));
                let _guards = guards;
                panic!("with a guard");
            }))
            .unwrap_err()
        };
        drop(panics(false));
        assert!(lock.broken().is_none());
        drop(panics(true));
        assert!(lock.read().await.map(drop).unwrap_err().is_panic());
        assert!(lock.write().await.map(drop).unwrap_err().is_panic());
        lock.repair();
        assert_eq!(*lock.read().await.unwrap(), 1);
    });
}

#[test]
fn a_writer_that_has_ended_and_leaked_its_guard_is_reported_to_readers() {
    on_each(WORKERS, async || {
        let lock = Arc::new(RwLock::new(()));
        nursery(async |n| {
            let lock = lock.clone();
            n.spawn(async move { std::mem::forget(lock.write().await.unwrap()) });
        })
        .await;
        let broken = lock.read().await.map(drop).unwrap_err();
        assert!(!broken.is_panic() && broken.holder().is_some());
    });
}
