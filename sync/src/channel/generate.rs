//! An iterator with an `.await` in it: [`generate`].

use super::{Receiver, Sender, bounded};
use trioxide_runtime::{CancelScope, join};

/// Runs `producer` beside `consumer`, in the same task: what the one sends the other receives, one by one.
///
/// The channel is a rendezvous: the producer goes on from a send when the consumer has taken the value, and so is at most one value ahead. When the consumer has ended the producer is
/// cancelled where it is suspended, and its clean-up is waited for; it ends by itself before that if it wants, and the consumer then receives the end. Both may borrow from the surroundings. After Trio's
/// `as_safe_channel`.
///
/// # Errors
///
/// The output of the producer that has ended, or `None` if it was cancelled, beside that of the consumer: an error of either is in its output, and none is lost.
///
/// # Cancellation
///
/// That of the two: both are cut, and their clean-up is waited for.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::channel::{self, Sender};
///
/// async fn squares(sender: Sender<u64>) {
///     for number in 0.. {
///         let Ok(()) = sender.send(number * number).await else { return };
///     }
/// }
///
/// let (_cancelled, first) = run(channel::generate(squares, async |numbers| {
///     let mut first = vec![];
///     while first.len() < 4 {
///         first.push(numbers.recv().await.unwrap());
///     }
///     first
/// }));
/// assert_eq!(first, [0, 1, 4, 9]);
/// ```
pub async fn generate<T, P, C>(
    producer: impl AsyncFnOnce(Sender<T>) -> P,
    consumer: impl AsyncFnOnce(&Receiver<T>) -> C,
) -> (Option<P>, C) {
    let (sender, receiver) = bounded(0);
    let scope = CancelScope::new();
    let handle = scope.handle();
    let (produced, consumed) = join!(scope.run(producer(sender)), async {
        let consumed = consumer(&receiver).await;
        handle.cancel("the consumer has ended");
        consumed
    });
    (produced.ok(), consumed)
}
