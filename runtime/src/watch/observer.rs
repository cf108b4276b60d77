//! The handle through which other threads, and hooks, look at a runtime.

use std::fmt;
use std::sync::{Arc, Weak};

use super::Instrument;
use crate::context;
use crate::scheduler::Shared;

/// A handle to look at a runtime: from inside a run, from any other thread, from a watchdog. Keeps nothing alive.
#[derive(Clone)]
pub struct Observer {
    shared: Weak<Shared>,
}

impl Observer {
    /// The runtime that the caller runs in.
    ///
    /// # Panics
    ///
    /// Outside a run. Get it from the [`Runtime`](crate::Runtime) there.
    #[track_caller]
    pub fn current() -> Self {
        let current =
            context::worker(|worker| worker.filter(|_| context::in_task()).map(|worker| worker.shared().observer()));
        current.unwrap_or_else(|| context::outside("Observer::current"))
    }

    /// Installs an instrument: its hooks are called from now on, for the present run and all later ones of the runtime. Whether it was not yet
    /// installed; once is enough. Does nothing for a runtime that has gone.
    pub fn add_instrument<I: Instrument>(&self, instrument: Arc<I>) -> bool {
        self.shared.upgrade().is_some_and(|shared| shared.watch.add_instrument(instrument))
    }

    /// Removes an instrument; whether it was installed. Another worker may be in one of its hooks at this moment, and come out later.
    pub fn remove_instrument<I: Instrument>(&self, instrument: &Arc<I>) -> bool {
        let instrument: Arc<dyn Instrument> = Arc::clone(instrument) as _;
        self.shared.upgrade().is_some_and(|shared| shared.watch.remove_instrument(&instrument))
    }
}

impl Observer {
    pub(super) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }
}

impl Shared {
    pub(crate) fn observer(&self) -> Observer {
        Observer { shared: self.this.clone() }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("alive", &(self.shared.strong_count() > 0)).finish()
    }
}
