//! One function for many items.

use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::slots::Slots;
use super::{Site, check_limit, cut, never_fails, unless_cut};
use crate::nursery::{ErrorGroup, Nursery, nursery};
use crate::primitives::Mutex;

/// Calls `f` with each item and runs the futures that it gives, at most `limit` at once, on all workers. Gives their values in the order of the items.
///
/// `items` is asked for the next one, and `f` called, in this task and only when there is room. So both may borrow; the futures own what they use.
///
/// # Cancellation
///
/// A checkpoint if there are items. If a scope around is cancelled, all futures are, and it waits until they have unwound; the values
/// that were there are dropped. If all futures have ended, the values are delivered.
///
/// # Panics
///
/// If `limit` is 0; when polled outside a run. A panic of `items`, of `f` or of a future cancels the rest and is resumed here when all have ended.
///
/// ```
/// use trioxide_runtime::{parallel, run, sleep};
/// use std::time::Duration;
/// let lengths = run(async {
///     let words = ["one", "two", "three"];
///     parallel::map(words.iter(), 2, |word| {
///         let length = word.len();
///         async move {
///             sleep(Duration::from_millis(1)).await;
///             length
///         }
///     })
///     .await
/// });
/// assert_eq!(lengths, [3, 3, 5]);
/// ```
#[track_caller]
pub fn map<I, F, Fut>(items: I, limit: usize, mut f: F) -> impl Future<Output = Vec<Fut::Output>>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    check_limit(limit, "parallel::map");
    let at = Location::caller();
    async move {
        let values = Values::default();
        let children =
            items.into_iter().enumerate().map(|(place, item)| values.fill::<Infallible, _>(place, ok(f(item))));
        never_fails(run_all(children, limit, "parallel::map", at)).await;
        values.take().await
    }
}

/// As [`map`], for futures that may fail.
///
/// # Errors
///
/// The first error cancels all other futures; when they have unwound, it comes out, with those that the unwinding has brought.
///
/// # Cancellation and panics
///
/// As [`map`]; an error of a future that unwinds comes out of a cancelled scope, too.
///
/// ```
/// use trioxide_runtime::{parallel, run};
/// let numbers = run(parallel::try_map(["1", "2", "x"], 8, async |text: &str| text.parse::<u32>()));
/// assert_eq!(numbers.unwrap_err().first().to_string(), "invalid digit found in string");
/// ```
#[track_caller]
pub fn try_map<I, F, Fut, T, E>(items: I, limit: usize, mut f: F) -> impl Future<Output = Result<Vec<T>, ErrorGroup<E>>>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    check_limit(limit, "parallel::try_map");
    let at = Location::caller();
    async move {
        let values = Values::default();
        let children = items.into_iter().enumerate().map(|(place, item)| values.fill(place, f(item)));
        unless_cut(run_all(children, limit, "parallel::try_map", at)).await?;
        Ok(values.take().await)
    }
}

/// As [`map`], for futures without a value: nothing is kept, however many there are.
///
/// # Cancellation and panics
///
/// As [`map`].
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use trioxide_runtime::{parallel, run};
/// let sum = Arc::new(AtomicU32::new(0));
/// run(parallel::for_each(0..100, 4, |n| {
///     let sum = Arc::clone(&sum);
///     async move {
///         sum.fetch_add(n, Ordering::Relaxed);
///     }
/// }));
/// assert_eq!(sum.load(Ordering::Relaxed), 4950);
/// ```
#[track_caller]
pub fn for_each<I, F, Fut>(items: I, limit: usize, mut f: F) -> impl Future<Output = ()>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    check_limit(limit, "parallel::for_each");
    let at = Location::caller();
    async move {
        let children = items.into_iter().map(|item| ok::<Infallible, _>(f(item)));
        never_fails(run_all(children, limit, "parallel::for_each", at)).await;
    }
}

/// As [`for_each`], for futures that may fail.
///
/// # Errors
///
/// As [`try_map`].
///
/// # Cancellation and panics
///
/// As [`map`].
///
/// ```
/// use trioxide_runtime::{parallel, run};
/// let outcome = run(parallel::try_for_each(0..10, 4, async |n| if n < 10 { Ok(()) } else { Err("too large") }));
/// assert!(outcome.is_ok());
/// ```
#[track_caller]
pub fn try_for_each<I, F, Fut, E>(items: I, limit: usize, f: F) -> impl Future<Output = Result<(), ErrorGroup<E>>>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    check_limit(limit, "parallel::try_for_each");
    let at = Location::caller();
    async move {
        let children = items.into_iter().map(f);
        unless_cut(run_all(children, limit, "parallel::try_for_each", at)).await
    }
}

async fn ok<E, T>(future: impl Future<Output = T>) -> Result<T, E> {
    Ok(future.await)
}

/// Runs `children`, each made when there is room for it.
async fn run_all<I, E>(
    children: I,
    limit: usize,
    operation: &'static str,
    at: Site,
) -> Result<(), crate::NurseryError<E>>
where
    I: Iterator<Item: Future<Output = Result<(), E>> + Send + 'static>,
    E: Send + 'static,
{
    let slots = Slots::new(limit);
    nursery(async |n: Nursery<E>| {
        let mut children = children;
        // With the last item known to be under way there is nothing to wait for, and so nothing to be cut.
        while children.size_hint().1 != Some(0) {
            let slot = slots.take(operation).await;
            let Some(child) = children.next() else { break };
            let child = async move {
                let _slot = slot;
                child.await
            };
            n.spawn_from(at, child);
        }
        Ok(())
    })
    .await
}

/// The values of the futures, by place.
struct Values<T>(Arc<Mutex<Vec<Option<T>>>>);

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }
}

impl<T> Values<T> {
    /// `future`, with its value put to `place`.
    fn fill<E, F>(&self, place: usize, future: F) -> impl Future<Output = Result<(), E>> + use<T, E, F>
    where
        F: Future<Output = Result<T, E>>,
    {
        let values = Arc::clone(&self.0);
        values.lock().push(None);
        async move {
            let value = future.await?;
            values.lock()[place] = Some(value);
            Ok(())
        }
    }

    /// The values, now that all children have ended.
    async fn take(self) -> Vec<T> {
        let values = std::mem::take(&mut *self.0.lock());
        match values.into_iter().collect() {
            Some(values) => values,
            None => cut().await,
        }
    }
}
