//! A time-out whose end is not a moment but an event.

use std::future::{Future, poll_fn};
use std::pin::pin;

use super::node::Node;
use super::reason::{CancelReason, CancelSource};
use super::scoped::{Scoped, Unentered};

/// Runs `future` until `condition` is ready; `None` if it was cut short by that.
///
/// Both are polled in this task, `condition` first. As [`move_on_after`](crate::move_on_after), with an event in place of the time: "until the
/// client hangs up", "until the configuration has changed". After `move_on_when` of trio-util, which Trio's users ask for (#2359).
///
/// # Cancellation
///
/// When `condition` is ready, `future` is dropped where it is suspended, once every guard in it (nurseries, `finally`, `shield`, `blocking`) has let go. A
/// `future` that completes meanwhile gives its result. `condition` is then dropped where it is; give it nothing that must finish.
///
/// # Panics
///
/// When polled outside a run; and with the panic of `future` or `condition`.
///
/// ```
/// use std::future::ready;
/// use trioxide_runtime::{checkpoint, move_on_when, run, sleep_forever};
/// run(async {
///     let hung_up = async {
///         checkpoint().await;
///     };
///     assert_eq!(move_on_when(hung_up, sleep_forever()).await, None);
///     assert_eq!(move_on_when(sleep_forever(), ready(7)).await, Some(7));
/// });
/// ```
pub async fn move_on_when<C: Future, F: Future>(condition: C, future: F) -> Option<F::Output> {
    let node = Unentered(Node::unattached(0));
    let mut condition = pin!(Some(condition));
    let mut scoped = pin!(Scoped::on("move_on_when", node.0.clone(), future));
    poll_fn(|cx| {
        if let Some(waited) = condition.as_mut().as_pin_mut()
            && waited.poll(cx).is_ready()
        {
            condition.set(None);
            node.0.cancel(CancelReason::of(CancelSource::Condition));
        }
        scoped.as_mut().poll(cx).map(Result::ok)
    })
    .await
}
