//! Locks and semaphores.
//!
//! What they guard is a count that every operation adds to while it holds the lock; at the end it must be right.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::sync::{Host, MANY, row};
use super::{Metric, Rewake, Row, Scale};
use crate::contenders::Contender;
use crate::marks;
use crate::measure::Sample;

/// Something that lets in one, or few, at a time. `HELD` says whether they suspend once while they are in.
trait Gate: Send + Sync + 'static {
    fn new() -> Self;
    /// Operation number `i` of a task.
    fn pass<const HELD: bool>(&self, i: u64) -> impl Future<Output = ()> + Send;
    /// How many have passed.
    fn passed(&self) -> u64;
}

/// Suspends once, if `HELD`.
async fn hold<const HELD: bool>() {
    if HELD {
        Rewake::default().await;
    }
}

/// A mutex round a count.
macro_rules! mutex {
    ($name:ident, $mutex:ty, |$lock:ident| $acquire:expr, $try_lock:expr) => {
        struct $name($mutex);

        impl Gate for $name {
            fn new() -> Self {
                Self(<$mutex>::new(0))
            }

            async fn pass<const HELD: bool>(&self, _i: u64) {
                let $lock = &self.0;
                let mut count = $acquire;
                *count += 1;
                hold::<HELD>().await;
            }

            fn passed(&self) -> u64 {
                let $lock = &self.0;
                *$try_lock.expect("all have ended")
            }
        }
    };
}

mutex!(OurMutex, trioxide::sync::Mutex<u64>, |lock| lock.lock().await.expect("nobody panics"), lock.try_lock());
mutex!(TokioMutex, tokio::sync::Mutex<u64>, |lock| lock.lock().await, lock.try_lock());
mutex!(AsyncMutex, async_lock::Mutex<u64>, |lock| lock.lock().await, lock.try_lock());

/// One of so many operations on a read-write lock writes.
const ONE_WRITES: u64 = 16;

/// A read-write lock round a count, which counts the writes; readers look at it.
macro_rules! rw_lock {
    ($name:ident, $rw_lock:ty, |$lock:ident| $read:expr, $write:expr, $try_read:expr) => {
        struct $name($rw_lock);

        impl Gate for $name {
            fn new() -> Self {
                Self(<$rw_lock>::new(0))
            }

            async fn pass<const HELD: bool>(&self, i: u64) {
                let $lock = &self.0;
                if i % ONE_WRITES == 0 {
                    let mut count = $write;
                    *count += ONE_WRITES;
                    hold::<HELD>().await;
                } else {
                    let count = $read;
                    std::hint::black_box(*count);
                    hold::<HELD>().await;
                }
            }

            fn passed(&self) -> u64 {
                let $lock = &self.0;
                *$try_read.expect("all have ended")
            }
        }
    };
}

rw_lock!(
    OurRwLock,
    trioxide::sync::RwLock<u64>,
    |lock| lock.read().await.expect("nobody panics"),
    lock.write().await.expect("nobody panics"),
    lock.try_read()
);
rw_lock!(TokioRwLock, tokio::sync::RwLock<u64>, |lock| lock.read().await, lock.write().await, lock.try_read().ok());
rw_lock!(AsyncRwLock, async_lock::RwLock<u64>, |lock| lock.read().await, lock.write().await, lock.try_read());

/// So many permits has a semaphore: fewer than there are tasks.
const PERMITS: usize = 4;
/// So many of them an operation takes in the row with many.
const SOME: u32 = 3;

/// A semaphore, and a count of those who had a permit.
macro_rules! semaphore {
    ($name:ident, $semaphore:ty, |$lock:ident| $acquire:expr) => {
        struct $name($semaphore, AtomicU64);

        impl Gate for $name {
            fn new() -> Self {
                Self(<$semaphore>::new(PERMITS), AtomicU64::new(0))
            }

            async fn pass<const HELD: bool>(&self, _i: u64) {
                let $lock = &self.0;
                let _permit = $acquire;
                self.1.fetch_add(1, Relaxed);
                hold::<HELD>().await;
            }

            fn passed(&self) -> u64 {
                self.1.load(Relaxed)
            }
        }
    };
}

semaphore!(OurSemaphore, trioxide::sync::Semaphore, |lock| lock.acquire().await);
semaphore!(TokioSemaphore, tokio::sync::Semaphore, |lock| lock.acquire().await.expect("nobody closes it"));
semaphore!(AsyncSemaphore, async_lock::Semaphore, |lock| lock.acquire().await);
semaphore!(OurSemaphoreMany, trioxide::sync::Semaphore, |lock| lock.acquire_many(SOME as usize).await);
semaphore!(TokioSemaphoreMany, tokio::sync::Semaphore, |lock| lock.acquire_many(SOME).await.expect("nobody closes it"));

fn alone<G: Gate>(host: &impl Host, scale: Scale) -> Sample {
    by::<G, false>(host, 1, scale.of(500_000, 10_000))
}

fn contended<G: Gate>(host: &impl Host, scale: Scale) -> Sample {
    by::<G, false>(host, MANY, scale.of(500_000, 10_000))
}

fn held<G: Gate>(host: &impl Host, scale: Scale) -> Sample {
    by::<G, true>(host, MANY, scale.of(100_000, 10_000))
}

/// `tasks` tasks pass, `operations` times in all.
fn by<G: Gate, const HELD: bool>(host: &impl Host, tasks: u64, operations: u64) -> Sample {
    // Whole rounds of those of whom one writes.
    let each = operations / tasks / ONE_WRITES * ONE_WRITES;
    let gate = Arc::new(G::new());
    let shared = Arc::clone(&gate);
    let cost = host.time_all(tasks * each, move || {
        let task = |slot| {
            let gate = Arc::clone(&shared);
            async move {
                for i in 0..each {
                    gate.pass::<HELD>(i).await;
                }
                marks::add(slot, 1);
            }
        };
        (0..tasks).map(task).collect()
    });
    marks::assert_all_ran(tasks, 1);
    assert_eq!(gate.passed(), tasks * each, "some have passed together that should not have, or have not passed");
    cost.per_operation()
}

const METRICS: &[Metric] = &[Metric::main("ns/lock")];

macro_rules! rows {
    ($constant:ident, $name:literal, $about:literal, $how:ident: $ours:ty, $tokio:ty $(, $async:ty)?) => {
        pub(super) const $constant: Row = row(
            $name,
            $about,
            METRICS,
            $how::<$ours>,
            Some($how::<$tokio>),
            &[
                (Contender::TokioHere, $how::<$tokio>),
                $((Contender::AsyncLock, $how::<$async>),)?
            ],
        );
    };
}

rows!(
    MUTEX_ALONE,
    "mutex_alone",
    "one task locks and unlocks a mutex, 500,000 times",
    alone: OurMutex, TokioMutex, AsyncMutex
);
rows!(
    MUTEX_CONTENDED,
    "mutex_contended",
    "the same by 8 tasks that share it",
    contended: OurMutex, TokioMutex, AsyncMutex
);
rows!(
    MUTEX_HELD,
    "mutex_held",
    "8 tasks lock a mutex, each suspends once while it holds it; 100,000 times",
    held: OurMutex, TokioMutex, AsyncMutex
);
rows!(
    RW_LOCK_ALONE,
    "rw_lock_alone",
    "one task locks a read-write lock, 500,000 times; one in 16 to write",
    alone: OurRwLock, TokioRwLock, AsyncRwLock
);
rows!(
    RW_LOCK_MOSTLY_READ,
    "rw_lock_contended",
    "the same by 8 tasks that share it",
    contended: OurRwLock, TokioRwLock, AsyncRwLock
);
rows!(
    RW_LOCK_HELD,
    "rw_lock_held",
    "8 tasks lock a read-write lock, one in 16 times to write, each suspends once while it holds it; 100,000 times",
    held: OurRwLock, TokioRwLock, AsyncRwLock
);
rows!(
    SEMAPHORE_ALONE,
    "semaphore_alone",
    "one task takes one of 4 permits and gives it back, 500,000 times",
    alone: OurSemaphore, TokioSemaphore, AsyncSemaphore
);
rows!(
    SEMAPHORE_CONTENDED,
    "semaphore_contended",
    "the same by 8 tasks that share it",
    contended: OurSemaphore, TokioSemaphore, AsyncSemaphore
);
rows!(
    SEMAPHORE_HELD,
    "semaphore_held",
    "8 tasks take one of 4 permits, each suspends once while it has it; 100,000 times",
    held: OurSemaphore, TokioSemaphore, AsyncSemaphore
);
rows!(
    SEMAPHORE_MANY,
    "semaphore_many",
    "the same with 3 of the 4 permits; async-lock has no such thing",
    held: OurSemaphoreMany, TokioSemaphoreMany
);
