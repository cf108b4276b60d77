//! The run that a runtime has under way: the root of its tree, and its variables.

use std::sync::Arc;

use crate::local::Variables;
use crate::primitives::Mutex;
use crate::scope::Node;

/// See the module.
pub(crate) struct Present(Mutex<Option<Parts>>);

struct Parts {
    root: Arc<Node>,
    variables: Arc<Variables>,
}

impl Default for Present {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl Present {
    /// A run has begun; it has ended when what is returned is dropped.
    pub(crate) fn begin(&self, root: &Arc<Node>) -> UnderWay<'_> {
        *self.0.lock() = Some(Parts { root: Arc::clone(root), variables: Arc::default() });
        UnderWay(self)
    }

    #[expect(dead_code, reason = "for the snapshot of the tree")]
    /// The root of the run's tree.
    pub(crate) fn root(&self) -> Option<Arc<Node>> {
        self.0.lock().as_ref().map(|parts| Arc::clone(&parts.root))
    }

    /// The variables of the run.
    pub(crate) fn variables(&self) -> Option<Arc<Variables>> {
        self.0.lock().as_ref().map(|parts| Arc::clone(&parts.variables))
    }
}

/// A run is under way. When it has ended its variables are dropped, also if somebody still holds them.
pub(crate) struct UnderWay<'a>(&'a Present);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let parts = self.0.0.lock().take();
        if let Some(parts) = parts {
            parts.variables.clear();
        }
    }
}
