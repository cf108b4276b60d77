//! The handles of local nurseries: one for any children, one for children that are `Send`.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::children::{Child, Core};
use super::task::{Giver, LocalTask};
use crate::combine::Branch;
use crate::local::Locals;
use crate::nursery::handle::closed;
use crate::nursery::{Closed, TaskOutput};
use crate::scope::{CancelReason, ScopeHandle};

pub(super) type LocalFuture<'env, E> = Pin<Box<dyn Future<Output = Result<(), E>> + 'env>>;
pub(super) type SendFuture<'env, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'env>>;

/// A handle to an open [local nursery](crate::local_nursery): spawns into it and cancels it.
///
/// A handle keeps no nursery open. When the body and all children have ended the nursery is closed, for good.
pub struct LocalNursery<'env, E> {
    core: Arc<Core<LocalFuture<'env, E>>>,
}

/// A handle to an open [local nursery of `Send` children](crate::local_nursery_send).
///
/// It may go to other threads, and spawn and cancel from there; the children run in the opener's task all the same.
pub struct LocalNurserySend<'env, E> {
    core: Arc<Core<SendFuture<'env, E>>>,
}

/// Spawns a child with a name: [`LocalNursery::task`].
#[must_use = "call `spawn`"]
pub struct LocalTaskBuilder<'a, N> {
    nursery: &'a N,
    name: Arc<str>,
}

/// Runs a child, and leaves its value with whoever has the handle.
async fn run_child<F, E>(future: F, giver: Giver<<F::Output as TaskOutput<E>>::Value>) -> Result<(), E>
where
    F: Future,
    F::Output: TaskOutput<E>,
{
    let value = future.await.into_result()?;
    giver.give(value);
    Ok(())
}

macro_rules! handle {
    ($handle:ident, $future:ident $(, $send:ident)?) => {
        impl<'env, E: $($send +)? 'env> $handle<'env, E> {
            pub(super) fn new(core: Arc<Core<$future<'env, E>>>) -> Self {
                Self { core }
            }

            /// Starts `future` as a child. It runs in the task that opened the nursery, and begins after the next suspension of who is running there.
            ///
            /// An error that it returns cancels the nursery and comes out of it; so does a panic. A child spawned into a cancelled nursery starts,
            /// and is cut at its first suspension. What is bound to task locals where it is spawned, the child inherits.
            ///
            /// # Panics
            ///
            /// If the nursery is closed.
            #[track_caller]
            pub fn spawn<F>(&self, future: F) -> LocalTask<<F::Output as TaskOutput<E>>::Value>
            where
                F: Future + $($send +)? 'env,
                F::Output: TaskOutput<E>,
                <F::Output as TaskOutput<E>>::Value: $($send +)? 'env,
            {
                match self.spawn_at(future, None, Location::caller()) {
                    Ok(task) => task,
                    Err(_) => closed(),
                }
            }

            /// As [`spawn`](Self::spawn), for a caller that does not know whether the nursery is still open.
            ///
            /// # Errors
            ///
            /// [`Closed`], with the future.
            #[track_caller]
            pub fn try_spawn<F>(&self, future: F) -> Result<LocalTask<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
            where
                F: Future + $($send +)? 'env,
                F::Output: TaskOutput<E>,
                <F::Output as TaskOutput<E>>::Value: $($send +)? 'env,
            {
                self.spawn_at(future, None, Location::caller())
            }

            /// Names the child that is spawned next: `n.task("reader").spawn(…)`. The name stands in errors.
            pub fn task(&self, name: impl Into<Arc<str>>) -> LocalTaskBuilder<'_, Self> {
                LocalTaskBuilder { nursery: self, name: name.into() }
            }

            fn spawn_at<F>(
                &self,
                future: F,
                name: Option<Arc<str>>,
                at: &'static Location<'static>,
            ) -> Result<LocalTask<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
            where
                F: Future + $($send +)? 'env,
                F::Output: TaskOutput<E>,
                <F::Output as TaskOutput<E>>::Value: $($send +)? 'env,
            {
                // Looked at before the future goes into its box, from which it would not come back.
                if self.core.is_closed() {
                    return Err(Closed(future));
                }
                let (task, giver, node) = LocalTask::new();
                let inside: $future<'env, E> = Box::pin(run_child(future, giver));
                let refused = self.core.add(Child { branch: Branch::on(node, inside), locals: Locals::current(), name, at });
                if refused.is_err() {
                    // Closed meanwhile, by another thread: as if it had been spawned just before, and cut.
                    drop(refused);
                }
                Ok(task)
            }

            /// Cancels the body and every child. Idempotent; the first reason stays. Does not wait: the nursery does.
            pub fn cancel(&self, reason: impl Into<CancelReason>) {
                self.core.node.cancel(CancelReason::asked(reason));
            }

            /// The soft cancel: [`stopping`](crate::stopping) resolves in body and children now, and after `grace` the nursery is cancelled.
            pub fn stop(&self, grace: Duration) {
                self.core.node.stop(grace);
            }

            /// A handle to the nursery's scope.
            pub fn scope(&self) -> ScopeHandle {
                ScopeHandle { node: Arc::clone(&self.core.node) }
            }

            /// How many children have not ended.
            #[expect(clippy::len_without_is_empty, reason = "as that of `Nursery`")]
            pub fn len(&self) -> usize {
                self.core.live()
            }
        }

        impl<'env, E: $($send +)? 'env> LocalTaskBuilder<'_, $handle<'env, E>> {
            /// As the `spawn` of the nursery.
            ///
            /// # Panics
            ///
            /// If the nursery is closed.
            #[track_caller]
            pub fn spawn<F>(self, future: F) -> LocalTask<<F::Output as TaskOutput<E>>::Value>
            where
                F: Future + $($send +)? 'env,
                F::Output: TaskOutput<E>,
                <F::Output as TaskOutput<E>>::Value: $($send +)? 'env,
            {
                match self.nursery.spawn_at(future, Some(self.name), Location::caller()) {
                    Ok(task) => task,
                    Err(_) => closed(),
                }
            }
        }

        impl<E> Clone for $handle<'_, E> {
            fn clone(&self) -> Self {
                Self { core: Arc::clone(&self.core) }
            }
        }

        impl<E> fmt::Debug for $handle<'_, E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("children", &self.core.live())
                    .field("cancel_called", &self.core.node.is_cancelled())
                    .finish()
            }
        }
    };
}

handle!(LocalNursery, LocalFuture);
handle!(LocalNurserySend, SendFuture, Send);
