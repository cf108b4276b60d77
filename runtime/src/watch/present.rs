//! The run that a runtime has under way: the root of its tree, its variables, and its token.

use std::sync::Arc;

use crate::local::Variables;
use crate::primitives::Mutex;
use crate::scope::Node;
use crate::token::{RunToken, System};

/// See the module.
pub(crate) struct Present(Mutex<Option<Parts>>);

struct Parts {
    root: Arc<Node>,
    variables: Arc<Variables>,
    /// Made when it is first asked for.
    token: Option<Arc<System>>,
    main_has_ended: bool,
}

impl Default for Present {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl Present {
    /// A run has begun; it has ended when what is returned is dropped.
    pub(crate) fn begin(&self, root: &Arc<Node>) -> UnderWay<'_> {
        *self.0.lock() =
            Some(Parts { root: Arc::clone(root), variables: Arc::default(), token: None, main_has_ended: false });
        UnderWay(self)
    }

    /// The root of the run's tree.
    pub(crate) fn root(&self) -> Option<Arc<Node>> {
        self.0.lock().as_ref().map(|parts| Arc::clone(&parts.root))
    }

    /// The variables of the run.
    pub(crate) fn variables(&self) -> Option<Arc<Variables>> {
        self.0.lock().as_ref().map(|parts| Arc::clone(&parts.variables))
    }

    /// The token of the run.
    pub(crate) fn token(&self) -> Option<RunToken> {
        let mut parts = self.0.lock();
        let parts = parts.as_mut()?;
        let (root, ended) = (&parts.root, parts.main_has_ended);
        let system = parts.token.get_or_insert_with(|| {
            let system = System::new(root);
            if ended {
                system.close();
            }
            system
        });
        Some(RunToken::new(Arc::clone(system)))
    }

    /// Whether anybody but the run itself has its token, and so may give it something to do.
    pub(crate) fn token_is_out(&self) -> bool {
        self.0.lock().as_ref().and_then(|parts| parts.token.as_ref()).is_some_and(|system| system.is_out())
    }

    /// The main task has ended: its token accepts nothing more. Called while the main task still counts in the root.
    pub(crate) fn main_ended(&self) {
        let token = self.0.lock().as_mut().and_then(|parts| {
            parts.main_has_ended = true;
            parts.token.clone()
        });
        if let Some(token) = token {
            token.close();
        }
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
