//! What SIGINT and SIGTERM do to the runs of this process: the first one stops them, the second one cancels them, the third one ends the process.
//!
//! ```text
//! handler (`sys::unix`) ── counts, writes a byte ─▶ thread `trioxide-signals` ─▶ `deliver` ─▶ every run: 1st `stop(grace)`, 2nd `cancel`
//!                                                                                               │
//! process ends by the signal ◀── no other run that got it is left ◀── `leave`: main was cut ◀──┘
//! ```
//!
//! The handler is there while some run is, and only for a signal that had its default disposition when the first of them began: what the
//! program handles itself, or ignores, is left alone. A handler that is put in front of it later (that of an io `Signal`, say) takes the
//! signal away, also if it calls the handler that it found: ours looks whether it is still the first.
//!
//! Invariants:
//! - **G1** `REGISTRY` holds every run that has signals on, from before its main task is polled until after that has ended.
//! - **G2** The signals that have come are taken (`sys::take`) under the registry's lock; so each reaches the runs that there are, or nobody; and
//!   what reached nobody is raised again when the handler is gone, and then does what it does without us.
//! - **G3** Runs are stopped and cancelled outside the lock, because that runs foreign wakers. The root is detached when its run ends, so a late
//!   stop finds nobody (`scope::node` N6).

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::primitives::Mutex;
use crate::primitives::thread::{self, Thread};
use crate::scope::{CancelReason, CancelSource, Node};
use crate::sys;
use crate::task::cell;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { runs: Vec::new(), next: 0 });

/// Whoever sends so many wants an end, also of what hangs while it cleans up.
const IMPATIENT: u32 = 3;

struct Registry {
    runs: Vec<Run>,
    next: u64,
}

struct Run {
    key: u64,
    root: Arc<Node>,
    grace: Duration,
    /// The last signal that reached it.
    got: Option<c_int>,
    /// How many have.
    came: u32,
    /// Its main was cut, and its thread waits for the other runs that got the signal.
    waiting: Option<Thread>,
}

/// Makes ready what must be there before the first run. Once for the process; later calls do nothing.
pub(crate) fn prepare() -> std::io::Result<()> {
    sys::start(deliver)
}

/// A run that signals reach, until it is dropped.
pub(crate) struct Watched {
    key: u64,
}

/// From now on signals reach the run with this root.
pub(crate) fn watch(root: &Arc<Node>, grace: Duration) -> Watched {
    let mut registry = REGISTRY.lock();
    if registry.runs.is_empty() {
        sys::install();
    }
    let key = registry.next;
    registry.next += 1;
    registry.runs.push(Run { key, root: Arc::clone(root), grace, got: None, came: 0, waiting: None });
    Watched { key }
}

impl Watched {
    /// The run's main task was cut. If a signal did that, the process ends here by that signal, as soon as the other runs that it has reached
    /// have ended, too.
    pub(crate) fn main_was_cut(&self) {
        loop {
            let mut registry = REGISTRY.lock();
            let own = registry.find(self.key);
            let Some(signal) = own.got else { return };
            own.waiting = Some(thread::current());
            if registry.runs.iter().all(|run| run.got.is_none() || run.waiting.is_some()) {
                drop(registry);
                sys::die_by(signal);
            }
            drop(registry);
            thread::park();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock();
        registry.runs.retain(|run| run.key != self.key);
        for waiting in registry.runs.iter().filter_map(|run| run.waiting.as_ref()) {
            waiting.unpark();
        }
        let missed = if registry.runs.is_empty() {
            sys::uninstall();
            sys::take()
        } else {
            Vec::new()
        };
        drop(registry);
        missed.into_iter().for_each(sys::raise);
    }
}

impl Registry {
    fn find(&mut self, key: u64) -> &mut Run {
        self.runs.iter_mut().find(|run| run.key == key).expect("a run is registered until it has ended")
    }
}

/// Hands on the signals that have come. Called by the thread that the handler wakes.
fn deliver() {
    let mut steps = Vec::new();
    let missed = {
        let mut registry = REGISTRY.lock();
        let signals = sys::take();
        for &signal in &signals {
            for run in &mut registry.runs {
                let first = run.got.replace(signal).is_none();
                run.came += 1;
                if run.came == IMPATIENT {
                    sys::die_by(signal);
                }
                steps.push((Arc::clone(&run.root), first.then_some(run.grace), signal));
            }
        }
        if registry.runs.is_empty() { signals } else { Vec::new() }
    };
    for (root, grace, signal) in steps {
        let done = catch_unwind(AssertUnwindSafe(|| match grace {
            Some(grace) => root.stop(grace),
            None => root.cancel(CancelReason::with(CancelSource::Signal, sys::name(signal))),
        }));
        // A foreign waker has panicked; the panic hook has told of it, and the other runs must still be reached.
        cell::drop_payload(done.err());
    }
    missed.into_iter().for_each(sys::raise);
}
