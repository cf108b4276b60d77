//! Some futures of different types.

use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;

use super::{Site, cut, never_fails, unless_cut};
use crate::nursery::{ErrorGroup, Nursery, NurseryError, nursery};
use crate::scope::Cancelled;
use crate::task::Task;

/// Runs the futures of a tuple on all workers, and gives all their values.
///
/// In the task, and borrowing: [`join!`](crate::join).
///
/// # Cancellation
///
/// A checkpoint only where it waits. If a scope around is cancelled, the futures are, and it waits until they have unwound. If all have ended, the values are
/// delivered.
///
/// # Panics
///
/// When polled outside a run. A panic of one cancels the others and is resumed here when all have ended.
///
/// ```
/// use trioxide_runtime::{parallel, run};
/// let (number, text) = run(parallel::join((async { 1 }, async { "one" })));
/// assert_eq!((number, text), (1, "one"));
/// ```
#[track_caller]
pub fn join<T: Join>(futures: T) -> impl Future<Output = T::Values> {
    let at = Location::caller();
    async move {
        let tasks = never_fails(nursery(async |n: Nursery<Infallible>| Ok(futures.spawn(&n, at)))).await;
        match T::take(tasks) {
            Some(values) => values,
            None => cut().await,
        }
    }
}

/// As [`join`], for futures that may fail, all with the same type of error.
///
/// # Errors
///
/// The first error cancels the others; when they have unwound, it comes out, with those that the unwinding has brought.
///
/// # Cancellation and panics
///
/// As [`join`]; an error of a future that unwinds comes out of a cancelled scope, too.
///
/// ```
/// use trioxide_runtime::{parallel, run};
/// let outcome = run(parallel::try_join((async { Ok(1) }, async { Err::<(), _>("no") })));
/// assert_eq!(outcome.unwrap_err().into_first(), "no");
/// ```
#[track_caller]
pub fn try_join<E, T>(futures: T) -> impl Future<Output = Result<T::Values, ErrorGroup<E>>>
where
    T: TryJoin<E>,
    E: Send + 'static,
{
    let at = Location::caller();
    async move {
        let joined: Result<T::Tasks, NurseryError<E>> = nursery(async |n: Nursery<E>| Ok(futures.spawn(&n, at))).await;
        let tasks = unless_cut(std::future::ready(joined)).await?;
        match T::take(tasks) {
            Some(values) => Ok(values),
            None => cut().await,
        }
    }
}

/// A tuple of one to eight futures, for [`join`].
pub trait Join: private::Sealed {
    /// The tuple of their values.
    type Values;
    #[doc(hidden)]
    type Tasks;
    #[doc(hidden)]
    fn spawn(self, nursery: &Nursery<Infallible>, at: Site) -> Self::Tasks;
    #[doc(hidden)]
    fn take(tasks: Self::Tasks) -> Option<Self::Values>;
}

/// A tuple of one to eight futures that may fail with the same error, for [`try_join`].
pub trait TryJoin<E>: private::Sealed {
    /// The tuple of their values.
    type Values;
    #[doc(hidden)]
    type Tasks;
    #[doc(hidden)]
    fn spawn(self, nursery: &Nursery<E>, at: Site) -> Self::Tasks;
    #[doc(hidden)]
    fn take(tasks: Self::Tasks) -> Option<Self::Values>;
}

mod private {
    pub trait Sealed {}
}

/// The value of a task that has ended; `None` if it was cut.
fn value<T>(mut task: Task<T>) -> Option<T> {
    task.take().and_then(|result: Result<T, Cancelled>| result.ok())
}

macro_rules! tuples {
    ($($future:ident $value:ident),+) => {
        impl<$($future),+> private::Sealed for ($($future,)+) {}

        #[allow(non_snake_case, reason = "the names of the types serve as those of the values")]
        impl<$($future),+> Join for ($($future,)+)
        where
            $($future: Future + Send + 'static, $future::Output: Send + 'static,)+
        {
            type Values = ($($future::Output,)+);
            type Tasks = ($(Task<$future::Output>,)+);

            fn spawn(self, nursery: &Nursery<Infallible>, at: Site) -> Self::Tasks {
                let ($($future,)+) = self;
                ($(nursery.spawn_from(at, async move { Ok::<_, Infallible>($future.await) }),)+)
            }

            fn take(tasks: Self::Tasks) -> Option<Self::Values> {
                let ($($future,)+) = tasks;
                Some(($(value($future)?,)+))
            }
        }

        #[allow(non_snake_case, reason = "as above")]
        impl<E, $($future, $value),+> TryJoin<E> for ($($future,)+)
        where
            E: Send + 'static,
            $($future: Future<Output = Result<$value, E>> + Send + 'static, $value: Send + 'static,)+
        {
            type Values = ($($value,)+);
            type Tasks = ($(Task<$value>,)+);

            fn spawn(self, nursery: &Nursery<E>, at: Site) -> Self::Tasks {
                let ($($future,)+) = self;
                ($(nursery.spawn_from(at, $future),)+)
            }

            fn take(tasks: Self::Tasks) -> Option<Self::Values> {
                let ($($future,)+) = tasks;
                Some(($(value($future)?,)+))
            }
        }
    };
}

tuples!(A VA);
tuples!(A VA, B VB);
tuples!(A VA, B VB, C VC);
tuples!(A VA, B VB, C VC, D VD);
tuples!(A VA, B VB, C VC, D VD, F VF);
tuples!(A VA, B VB, C VC, D VD, F VF, G VG);
tuples!(A VA, B VB, C VC, D VD, F VF, G VG, H VH);
tuples!(A VA, B VB, C VC, D VD, F VF, G VG, H VH, I VI);
