//! Variables whose value depends on the place in the tree of scopes.
//!
//! A binding is a node of its own in that tree, made by [`TreeVar::scope`]. To read, one walks up: scopes, the task's node, the nursery of the
//! task, where that was opened, and so on. So a spawn costs nothing, and a read costs the depth.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Value;
use crate::context;
use crate::scope::Node;
use crate::scope::node::flag::BINDS;

/// A variable whose value is that of the place in the task tree: a child sees what was bound where its *nursery was opened*, whoever spawned it.
///
/// For what a nursery offers its children, a connection pool or an address to report to: a handle to the nursery may be passed far away, and
/// who spawns through it should not push values of its own into it. For what belongs to the spawner, such as whose request it is, use
/// [`task_local!`](crate::task_local). After the wish in Trio #1523, and tricycle's `TreeVar`.
///
/// ```
/// use trioxide_runtime::{TreeVar, nursery, run};
///
/// static ROLE: TreeVar<&'static str> = TreeVar::new("ROLE");
///
/// run(ROLE.scope("service", async {
///     nursery(async |n| {
///         ROLE.scope("request", async {
///             n.spawn(async { assert_eq!(ROLE.get(), "service") }); // the place of the nursery counts
///             assert_eq!(ROLE.get(), "request");
///         })
///         .await;
///     })
///     .await;
/// }));
/// ```
pub struct TreeVar<T: 'static> {
    name: &'static str,
    default: Option<fn() -> T>,
}

/// What a node with `BINDS` binds.
pub(crate) struct Binding {
    key: usize,
    value: Value,
}

impl<T: Send + Sync + 'static> TreeVar<T> {
    /// A variable without a default.
    pub const fn new(name: &'static str) -> Self {
        Self { name, default: None }
    }

    /// A variable that has the value of `default` where nothing is bound.
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        Self { name, default: Some(default) }
    }

    /// Binds `value` for `future` and the nurseries opened in it.
    ///
    /// The value is dropped with the last task or scope handle below.
    ///
    /// # Cancellation
    ///
    /// A checkpoint only where `future` is.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TreeScope<T, F> {
        TreeScope {
            inside: Some(future),
            at: At { node: None },
            binding: Some(Binding { key: self.key(), value: Arc::new(value) }),
            of: PhantomData,
        }
    }

    /// The value at this place.
    ///
    /// # Panics
    ///
    /// If nothing is bound here and there is no default.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.try_get().unwrap_or_else(|| {
            panic!(
                "trioxide: the tree variable `{0}` has no value here; open the nursery in `{0}.scope(value, future)`, give it a default \
                 with `TreeVar::with_default`, or use `try_get`",
                self.name
            )
        })
    }

    /// The value at this place, if one is bound or there is a default.
    pub fn try_get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        let bound = self.bound();
        let typed =
            |value: &Value| value.downcast_ref::<T>().expect("only this key's `scope` binds to this key").clone();
        bound.as_ref().map(typed).or_else(|| self.default.map(|default| default()))
    }

    fn bound(&'static self) -> Option<Value> {
        let mut at = context::current_node().or_else(|| context::carried(|carried| carried?.node.clone()));
        while let Some(node) = at {
            if node.has(BINDS)
                && let Some(binding) =
                    node.inner.lock().extra().binding.as_ref().filter(|binding| binding.key == self.key())
            {
                return Some(Arc::clone(&binding.value));
            }
            at = node.parent().cloned();
        }
        None
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for TreeVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeVar").field("name", &self.name).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`TreeVar::scope`]. The inside goes before the node.
    #[must_use = "futures do nothing unless polled"]
    pub struct TreeScope<T, F> {
        #[pin]
        inside: Option<F>,
        at: At,
        // Until the first poll.
        binding: Option<Binding>,
        of: PhantomData<fn() -> T>,
    }
}

/// The node that binds, while it hangs in the tree.
struct At {
    node: Option<Arc<Node>>,
}

impl Drop for At {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.detach();
        }
    }
}

impl<T, F: Future> Future for TreeScope<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(binding) = this.binding.take() {
            let node = Node::attached(BINDS, context::place("TreeVar::scope"));
            node.inner.lock().extra().binding = Some(binding);
            this.at.node = Some(node);
        }
        let inside = this.inside.as_mut().as_pin_mut().expect("a `TreeScope` is not polled after its end");
        let node = this.at.node.as_ref().expect("made at the first poll");
        let polled = context::with_node(node, || inside.poll(cx));
        if polled.is_ready() {
            this.inside.set(None);
            drop(At { node: this.at.node.take() });
        }
        polled
    }
}

impl<T, F> fmt::Debug for TreeScope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeScope").finish_non_exhaustive()
    }
}
