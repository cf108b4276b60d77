//! One function for the items of a stream; its values are a stream again.
//!
//! ```text
//! stream ─▶ feed (in this task, while there is room) ─▶ children, on all workers ─▶ Window ─▶ Results ─▶ consume (in this task)
//!             └──────────────────────────── room: what was handed out ◀───────────────────────────┘
//! ```
//!
//! Feeding and consuming are the two branches of a `race!` in the body of a nursery, so the stream goes on while the consumer waits for something
//! else. When the consumer ends, everything does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::ops::AsyncFnOnce;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;

use super::{Site, check_limit, with_result};
use crate::context;
use crate::nursery::Nursery;
use crate::primitives::{Mutex, MutexGuard};

/// Calls `f` with each item of `stream` and runs the futures that it gives on all workers; `consume` gets their values in the order of the items.
///
/// At most `limit` items are under way: taken from `stream`, and their value not yet taken by `consume`. A slow item holds up the values behind it, and so
/// in the end the stream: see [`completed`]. `stream`, `f` and `consume` run in this task, and may borrow; the futures own what they use.
///
/// When `consume` returns, that is the value; what still runs is cancelled, and it waits until that has unwound. So a `?`, a `break` or the
/// first match end the whole. For futures that may fail, `consume` gets `Result`s.
///
/// # Cancellation
///
/// A checkpoint where it waits. If a scope around is cancelled, consumer, stream and futures are, and it waits until they have unwound. A value that
/// `consume` has returned is delivered.
///
/// # Panics
///
/// If `limit` is 0; when polled outside a run. A panic of any part cancels the others and is resumed here when all have ended.
///
/// ```
/// use futures_util::stream;
/// use trioxide_runtime::{parallel, run};
/// let first_large = run(parallel::ordered(
///     stream::iter(1..100),
///     4,
///     async |n: u32| n * n,
///     async |mut squares| {
///         while let Some(square) = squares.next().await {
///             if square > 50 {
///                 return square;
///             }
///         }
///         0
///     },
/// ));
/// assert_eq!(first_large, 64);
/// ```
#[track_caller]
pub fn ordered<S, F, Fut, C, R>(stream: S, limit: usize, f: F, consume: C) -> impl Future<Output = R>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
    C: AsyncFnOnce(Results<Fut::Output>) -> R,
{
    check_limit(limit, "parallel::ordered");
    run(Order::OfItems, stream, limit, f, consume, Location::caller())
}

/// As [`ordered`], but `consume` gets the values as they come, whichever future ends first.
///
/// # Cancellation and panics
///
/// As [`ordered`].
///
/// ```
/// use futures_util::stream;
/// use trioxide_runtime::{parallel, run};
/// let sum = run(parallel::completed(stream::iter(1..=100), 8, async |n: u32| 2 * n, async |mut doubled| {
///     let mut sum = 0;
///     while let Some(value) = doubled.next().await {
///         sum += value;
///     }
///     sum
/// }));
/// assert_eq!(sum, 10_100);
/// ```
#[track_caller]
pub fn completed<S, F, Fut, C, R>(stream: S, limit: usize, f: F, consume: C) -> impl Future<Output = R>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
    C: AsyncFnOnce(Results<Fut::Output>) -> R,
{
    check_limit(limit, "parallel::completed");
    run(Order::OfEnds, stream, limit, f, consume, Location::caller())
}

async fn run<S, F, Fut, C, R>(order: Order, stream: S, limit: usize, f: F, consume: C, at: Site) -> R
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
    C: AsyncFnOnce(Results<Fut::Output>) -> R,
{
    let outcome = Mutex::new(None);
    let body = async |n: Nursery<Infallible>| {
        let window = Arc::new(Window::new(order, limit));
        let _over = Over(Arc::clone(&window));
        let results = Results { window: Arc::clone(&window) };
        let value = crate::race!(async { consume(results).await }, async {
            feed(stream, f, &n, &window, at).await;
            pending().await // The consumer decides when it is over.
        },);
        *outcome.lock() = Some(value);
        n.cancel("the consumer of the results has ended");
    };
    with_result(body, || outcome.lock().take()).await
}

async fn feed<S, F, Fut>(stream: S, mut f: F, n: &Nursery<Infallible>, window: &Arc<Window<Fut::Output>>, at: Site)
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let mut stream = pin!(stream);
    loop {
        window.room().await;
        let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await else { break };
        let future = f(item);
        let (place, window) = (window.begin(), Arc::clone(window));
        n.spawn_from(at, async move {
            let value = future.await;
            window.put(place, value);
        });
    }
    window.no_more();
}

/// The values of the futures of [`ordered`] and [`completed`]: a [`Stream`] that ends after the last one.
pub struct Results<T> {
    window: Arc<Window<T>>,
}

impl<T> Results<T> {
    /// The next value; `None` after the last.
    ///
    /// # Cancellation
    ///
    /// A checkpoint. Cancelled while it waits, it has taken nothing.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.window.poll_next(cx)).await
    }
}

impl<T> Stream for Results<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.window.poll_next(cx)
    }
}

impl<T> fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.window.lock();
        f.debug_struct("Results").field("begun", &state.begun).field("handed_out", &state.handed_out).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    OfItems,
    OfEnds,
}

/// The items that are under way.
struct Window<T> {
    order: Order,
    limit: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// By items: those under way, in order, `Some` when they have ended. By ends: those that have ended.
    values: VecDeque<Option<T>>,
    begun: usize,
    handed_out: usize,
    /// The stream has ended, or the consumer.
    no_more: bool,
    over: bool,
    consumer: Option<Waker>,
    feeder: Option<Waker>,
}

impl<T> Window<T> {
    fn new(order: Order, limit: usize) -> Self {
        let state = State {
            values: VecDeque::new(),
            begun: 0,
            handed_out: 0,
            no_more: false,
            over: false,
            consumer: None,
            feeder: None,
        };
        Self { order, limit, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    /// Waits until one more item may begin.
    async fn room(&self) {
        poll_fn(|cx| {
            ready!(context::poll_checkpoint(cx, "parallel"));
            let waker = cx.waker().clone(); // Not under the lock: foreign code.
            let mut state = self.lock();
            if state.begun - state.handed_out < self.limit {
                return Poll::Ready(());
            }
            let old = state.feeder.replace(waker);
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await;
    }

    /// One more has begun, in this place.
    fn begin(&self) -> usize {
        let mut state = self.lock();
        if self.order == Order::OfItems {
            state.values.push_back(None);
        }
        state.begun += 1;
        state.begun - 1
    }

    /// The value of the item in `place`.
    fn put(&self, place: usize, value: T) {
        let consumer = {
            let mut state = self.lock();
            match self.order {
                Order::OfItems => {
                    let at = place - state.handed_out;
                    state.values[at] = Some(value);
                }
                Order::OfEnds => state.values.push_back(Some(value)),
            }
            state.consumer.take()
        };
        consumer.into_iter().for_each(Waker::wake);
    }

    fn no_more(&self) {
        let consumer = {
            let mut state = self.lock();
            state.no_more = true;
            state.consumer.take()
        };
        consumer.into_iter().for_each(Waker::wake);
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(context::poll_checkpoint(cx, "Results::next"));
        let waker = cx.waker().clone(); // As in `room`.
        let mut state = self.lock();
        if let Some(Some(_)) = state.values.front() {
            let value = state.values.pop_front().flatten();
            state.handed_out += 1;
            let feeder = state.feeder.take();
            drop(state);
            feeder.into_iter().for_each(Waker::wake);
            return Poll::Ready(value);
        }
        if state.over || (state.no_more && state.begun == state.handed_out) {
            return Poll::Ready(None);
        }
        let old = state.consumer.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

/// Ends the results for whoever has kept them.
struct Over<T>(Arc<Window<T>>);

impl<T> Drop for Over<T> {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.0.lock();
            state.over = true;
            (state.consumer.take(), state.feeder.take())
        };
        gone.0.into_iter().for_each(Waker::wake);
    }
}
