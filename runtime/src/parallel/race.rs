//! The first one to end.

use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::{Site, with_result};
use crate::combine::first_branch;
use crate::nursery::Nursery;
use crate::primitives::Mutex;

/// Runs the futures of a tuple, all of the same output, on all workers, and gives the value of the one that ends first.
///
/// The others are cancelled, and it waits until they have unwound. Which is spawned first is left to chance, so that where several are ready none is preferred, and a race
/// in a loop starves nobody. In the task, and borrowing: [`race!`](crate::race).
///
/// # Cancellation
///
/// A checkpoint only where it waits. If a scope around is cancelled, the futures are, and it waits until they have unwound; a value that was
/// won is delivered. A loser that ends while it unwinds, or at the same time as the winner on another worker, is dropped with its value.
///
/// # Panics
///
/// When polled outside a run. A panic of one, also of a loser that unwinds, cancels the others and is resumed here when all have ended.
///
/// ```
/// use trioxide_runtime::{parallel, run, sleep_forever};
/// let winner = run(parallel::race((
///     async {
///         sleep_forever().await;
///         "never"
///     },
///     async { "first" },
/// )));
/// assert_eq!(winner, "first");
/// ```
#[track_caller]
pub fn race<T: Race>(futures: T) -> impl Future<Output = T::Value> {
    let at = Location::caller();
    async move {
        let won = Won::default();
        with_result(async |n: Nursery<Infallible>| futures.spawn(&n, &won, at), || won.take()).await
    }
}

/// As [`race`], for any number of futures of one type.
///
/// # Cancellation
///
/// As [`race`].
///
/// # Panics
///
/// As [`race`]; and if there is no future at all.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{parallel, run, sleep};
/// let mirrors = [3600, 0, 3600].map(|seconds| async move {
///     sleep(Duration::from_secs(seconds)).await;
///     seconds
/// });
/// assert_eq!(run(parallel::race_all(mirrors)), 0);
/// ```
#[track_caller]
pub fn race_all<I, F>(futures: I) -> impl Future<Output = F::Output>
where
    I: IntoIterator<Item = F>,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let at = Location::caller();
    async move {
        let won = Won::default();
        let body = async |n: Nursery<Infallible>| {
            let mut futures: Vec<F> = futures.into_iter().collect();
            assert!(
                !futures.is_empty(),
                "trioxide: `parallel::race_all` of nothing never ends; give it at least one future"
            );
            let first = first_branch(None, futures.len(), true);
            futures.rotate_left(first);
            for future in futures {
                won.spawn(&n, future, at);
            }
        };
        with_result(body, || won.take()).await
    }
}

/// A tuple of one to eight futures with the same output, for [`race`].
pub trait Race: private::Sealed {
    /// Their output.
    type Value;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn spawn(self, nursery: &Nursery<Infallible>, won: &Won<Self::Value>, at: Site);
}

mod private {
    pub trait Sealed {}
}

/// The value of the winner.
pub(super) struct Won<T>(Arc<Mutex<Option<T>>>);

impl<T> Default for Won<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T> Won<T> {
    fn spawn<F>(&self, nursery: &Nursery<Infallible>, future: F, at: Site)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (won, all) = (Arc::clone(&self.0), nursery.clone());
        nursery.spawn_from(at, async move {
            let value = future.await;
            let spare = {
                let mut won = won.lock();
                match *won {
                    None => won.replace(value),
                    Some(_) => Some(value),
                }
            };
            drop(spare); // Outside the lock.
            all.cancel("another future of the race ended first");
        });
    }

    fn take(&self) -> Option<T> {
        self.0.lock().take()
    }
}

macro_rules! tuples {
    ($($future:ident),+) => {
        impl<$($future),+> private::Sealed for ($($future,)+) {}

        #[allow(non_snake_case, reason = "the names of the types serve as those of the values")]
        impl<T: Send + 'static, $($future: Future<Output = T> + Send + 'static),+> Race for ($($future,)+) {
            type Value = T;

            #[allow(private_interfaces)]
            fn spawn(self, nursery: &Nursery<Infallible>, won: &Won<T>, at: Site) {
                let ($($future,)+) = self;
                $(let mut $future = Some($future);)+
                // On one worker the last to be spawned begins first.
                let first = first_branch(None, [$(stringify!($future)),+].len(), true);
                for before in [false, true] {
                    let mut place = 0;
                    $(
                        if (place < first) == before && let Some(future) = $future.take() {
                            won.spawn(nursery, future, at);
                        }
                        place += 1;
                    )+
                    let _ = place;
                }
            }
        }
    };
}

tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);
