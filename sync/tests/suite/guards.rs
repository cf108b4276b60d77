//! Guards of parts of a value, borrowed and owned: they hold the lock as the guard did that they were made of.

use crate::common::WORKERS;
use futures_util::poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use trioxide_runtime::{CancelScope, nursery, nursery_with};
use trioxide_sync::{
    MappedMutexGuard, MappedRwLockWriteGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMappedRwLockWriteGuard,
    OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use trioxide_testing::on_each;

type Pair = (u32, Vec<u32>);

fn pair() -> Pair {
    (1, vec![2, 3])
}

/// One who waits while there is `guard` has the lock when it is dropped, and not before.
async fn hands_over_when_dropped<G>(mutex: &Mutex<Pair>, guard: G) {
    assert!(mutex.statistics().locked && mutex.statistics().holder.is_some());
    let mut waits = pin!(mutex.lock());
    assert!(poll!(waits.as_mut()).is_pending());
    drop(guard);
    drop(waits.await.unwrap());
    assert!(mutex.broken().is_none());
}

#[test]
fn a_part_of_what_a_mutex_guards_is_held_as_the_whole() {
    on_each(WORKERS, async || {
        let mutex = Arc::new(Mutex::new(pair()));

        let list = MutexGuard::map(mutex.lock().await.unwrap(), |pair| &mut pair.1);
        let mut first = MappedMutexGuard::map(list, |list| &mut list[0]);
        *first += 10;
        assert!(MappedMutexGuard::holder(&first).is_some());
        hands_over_when_dropped(&mutex, first).await;

        let list = OwnedMutexGuard::map(mutex.clone().lock_owned().await.unwrap(), |pair| &mut pair.1);
        assert!(Arc::ptr_eq(OwnedMappedMutexGuard::mutex(&list), &mutex));
        let mut last = OwnedMappedMutexGuard::map(list, |list| list.last_mut().unwrap());
        *last += 10;
        assert_eq!(format!("{last:?}"), "13");
        hands_over_when_dropped(&mutex, last).await;

        assert_eq!(*mutex.lock().await.unwrap(), (1, vec![12, 13]));
    });
}

#[test]
fn a_part_of_a_mutex_that_is_not_there_gives_the_guard_back() {
    on_each(WORKERS, async || {
        let mutex = Arc::new(Mutex::new(pair()));
        let guard = MutexGuard::try_map(mutex.lock().await.unwrap(), |pair| pair.1.get_mut(9)).unwrap_err();
        let list = MutexGuard::try_map(guard, |pair| Some(&mut pair.1)).unwrap();
        let list = MappedMutexGuard::try_map(list, |list| list.get_mut(9)).unwrap_err();
        *MappedMutexGuard::try_map(list, |list| list.first_mut()).unwrap() = 7;

        let guard = mutex.clone().lock_owned().await.unwrap();
        let guard = OwnedMutexGuard::try_map(guard, |pair| pair.1.get_mut(9)).unwrap_err();
        let list = OwnedMutexGuard::try_map(guard, |pair| Some(&mut pair.1)).unwrap();
        let list = OwnedMappedMutexGuard::try_map(list, |list| list.get_mut(9)).unwrap_err();
        *OwnedMappedMutexGuard::try_map(list, |list| list.last_mut()).unwrap() = 8;
        assert_eq!(*mutex.try_lock().unwrap(), (1, vec![7, 8]));
    });
}

#[test]
fn a_part_of_a_mutex_that_is_dropped_by_a_panic_breaks_it() {
    on_each(WORKERS, async || {
        let mutex = Arc::new(Mutex::new(pair()));
        let guard = mutex.lock().await.unwrap();
        let borrowed = || drop(MutexGuard::map(guard, |_| -> &mut u32 { panic!("while it looks for the part") }));
        assert!(catch_unwind(AssertUnwindSafe(borrowed)).is_err());
        assert!(mutex.broken().is_some_and(|broken| broken.is_panic()));
        mutex.repair();

        let part = OwnedMutexGuard::map(mutex.clone().lock_owned().await.unwrap(), |pair| &mut pair.0);
        let owned = || {
            let _part = part;
            panic!("while it holds the part");
        };
        let mut waits = pin!(mutex.lock());
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(owned)).is_err());
        assert!(waits.await.unwrap_err().is_panic());
        mutex.repair();
        assert_eq!(*mutex.lock().await.unwrap(), pair());
    });
}

/// The child has the guard of a part, and ends without having dropped it; or has adopted it, and gives it back.
#[test]
fn a_part_of_a_mutex_is_leaked_or_adopted_as_the_whole() {
    on_each(WORKERS, async || {
        let mutex = Arc::new(Mutex::new(pair()));
        let guard = mutex.clone().lock_owned().await.unwrap();
        nursery(async |n| {
            n.spawn(async move {
                let mut part = OwnedMutexGuard::map(guard, |pair| &mut pair.0);
                OwnedMappedMutexGuard::adopt(&mut part);
                std::mem::forget(part);
            });
        })
        .await;
        assert!(mutex.lock().await.is_err_and(|broken| !broken.is_panic()));

        let mutex = Mutex::new(pair());
        nursery_with(mutex, async |s| {
            let mutex = s.env();
            let mut part = MutexGuard::map(mutex.lock().await.unwrap(), |pair| &mut pair.0);
            let opener = MappedMutexGuard::holder(&part);
            let child = s.spawn(async move {
                MappedMutexGuard::adopt(&mut part);
                assert_ne!(MappedMutexGuard::holder(&part), opener);
                *part = 5;
            });
            child.await.unwrap();
            assert_eq!(mutex.lock().await.unwrap().0, 5);
        })
        .await;
    });
}

#[test]
fn a_part_of_what_a_writer_has_is_held_as_the_whole() {
    on_each(WORKERS, async || {
        let lock = Arc::new(RwLock::new(pair()));

        let list = RwLockWriteGuard::map(lock.write().await.unwrap(), |pair| &mut pair.1);
        let list = MappedRwLockWriteGuard::try_map(list, |list| list.get_mut(9)).unwrap_err();
        let mut first = MappedRwLockWriteGuard::map(list, |list| &mut list[0]);
        *first += 10;
        let mut waits = pin!(lock.read());
        assert!(poll!(waits.as_mut()).is_pending() && lock.statistics().writing);
        drop(first);
        drop(waits.await.unwrap());

        let guard = lock.clone().try_write_owned().unwrap();
        let guard = OwnedRwLockWriteGuard::try_map(guard, |pair| pair.1.get_mut(9)).unwrap_err();
        assert!(Arc::ptr_eq(OwnedRwLockWriteGuard::rw_lock(&guard), &lock));
        let list = OwnedRwLockWriteGuard::map(guard, |pair| &mut pair.1);
        let mut last = OwnedMappedRwLockWriteGuard::map(list, |list| list.last_mut().unwrap());
        *last += 10;
        assert!(lock.clone().try_read_owned().is_err());
        let mut waits = pin!(lock.clone().read_owned());
        assert!(poll!(waits.as_mut()).is_pending());
        drop(last);
        let whole = waits.await.unwrap();
        let list = OwnedRwLockReadGuard::map(whole, |pair| &pair.1);
        let list = OwnedRwLockReadGuard::try_map(list, |list| list.get(9)).unwrap_err();
        assert!(Arc::ptr_eq(OwnedRwLockReadGuard::rw_lock(&list), &lock));
        assert_eq!(*list, [12, 13]);

        let one = RwLockReadGuard::try_map(lock.try_read().unwrap(), |pair| Some(&pair.0)).unwrap();
        let whole = RwLockReadGuard::try_map(lock.try_read().unwrap(), |pair| pair.1.get(9)).unwrap_err();
        assert_eq!((*one, &*whole), (1, &(1, vec![12, 13])));
    });
}

#[test]
fn a_part_of_what_a_writer_has_breaks_the_lock_and_can_be_adopted() {
    on_each(WORKERS, async || {
        let lock = Arc::new(RwLock::new(pair()));
        let part = RwLockWriteGuard::map(lock.write().await.unwrap(), |pair| &mut pair.0);
        let panics = || {
            let _part = part;
            panic!("while it holds the part");
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(lock.broken().is_some_and(|broken| broken.is_panic()));
        lock.repair();

        let mut part = OwnedRwLockWriteGuard::map(lock.clone().write_owned().await.unwrap(), |pair| &mut pair.0);
        let opener = OwnedMappedRwLockWriteGuard::holder(&part);
        nursery(async |n| {
            n.spawn(async move {
                OwnedMappedRwLockWriteGuard::adopt(&mut part);
                assert_ne!(OwnedMappedRwLockWriteGuard::holder(&part), opener);
                std::mem::forget(part);
            });
        })
        .await;
        assert!(lock.read().await.is_err_and(|broken| !broken.is_panic()));
    });
}

/// A scope that is cut drops what its future has: a guard of a part, too, and that passes the lock on.
#[test]
fn a_cut_drops_the_guard_of_a_part_and_passes_the_lock_on() {
    on_each(WORKERS, async || {
        let (mutex, lock) = (Arc::new(Mutex::new(pair())), Arc::new(RwLock::new(pair())));
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (mut locks, mut reads) = (pin!(mutex.lock()), pin!(lock.read()));
        let cut = scope.run(async {
            let _part = OwnedMutexGuard::map(mutex.clone().lock_owned().await.unwrap(), |pair| &mut pair.0);
            let _list = OwnedRwLockWriteGuard::map(lock.clone().write_owned().await.unwrap(), |pair| &mut pair.1);
            assert!(poll!(locks.as_mut()).is_pending() && poll!(reads.as_mut()).is_pending());
            handle.cancel("the test wants it");
            std::future::pending::<()>().await;
        });
        assert!(cut.await.is_err());
        assert_eq!(locks.await.unwrap().0 + reads.await.unwrap().0, 2);
        assert!(mutex.broken().is_none() && lock.broken().is_none());
    });
}
