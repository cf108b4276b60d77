//! The way from a thread of the pool back into the task that called `blocking`: its *host*.
//!
//! The thread sends a future and waits; the future of the call, which the task polls, polls it inside the call's node. So what is sent runs in the host's task,
//! below the scopes around the call. One at a time: the thread waits meanwhile.
//!
//! Invariants:
//! - **H1** A request is taken only while the host is open, and closing drops those not taken. Whoever drops a request drops its way to answer: so the thread
//!   that waits for it hears of it in any case.
//! - **H2** When the future of the task has ended, a call that was forgotten in it is marked under the lock of its node, and closed if it shows itself there; whoever
//!   sends shows the host there, and then looks for the mark. So nobody waits for a task that polls no more.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use super::pool::{Threads, Ticket};
use crate::primitives::{Mutex, per_thread};
use crate::scope::node::flag::ORPHANED;
use crate::scope::{CancelReason, CancelSource, Cancelled, Node};
use crate::token::RunToken;

/// Something to be run in the host's task. It answers by itself.
pub(crate) type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// See the module. It lies in what the future of the call and its thread share: one allocation for all of that.
pub(crate) struct Host {
    pub(super) node: Arc<Node>,
    pub(super) ticket: Ticket,
    /// `None` when the future of the call is gone.
    requests: Mutex<Option<VecDeque<Request>>>,
    /// Of a call that may outlive its run; the others ask for it when they want it.
    token: Option<RunToken>,
}

/// What a host lies in.
pub(crate) trait HasHost: Send + Sync {
    fn host(&self) -> &Host;
}

/// Keeps a host.
#[derive(Clone)]
pub(crate) struct HostRef(Arc<dyn HasHost>);

/// Keeps no host.
pub(crate) struct WeakHost(Weak<dyn HasHost>);

impl WeakHost {
    pub(crate) fn upgrade(&self) -> Option<HostRef> {
        self.0.upgrade().map(HostRef)
    }
}

impl Deref for HostRef {
    type Target = Host;

    fn deref(&self) -> &Host {
        self.0.host()
    }
}

per_thread! {
    static HOST: RefCell<Option<HostRef>> = const { RefCell::new(None) };
}

impl HostRef {
    pub(super) fn new(host: Arc<dyn HasHost>) -> Self {
        Self(host)
    }

    /// Runs `f` as a call of this host.
    pub(super) fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        struct Reset(Option<HostRef>);
        impl Drop for Reset {
            fn drop(&mut self) {
                let _ = HOST.try_with(|host| host.replace(self.0.take()));
            }
        }
        let _reset = Reset(HOST.with(|host| host.replace(Some(self))));
        f()
    }

    /// Asks the task to run `request`; drops it if the task has gone (H1).
    pub(crate) fn send(&self, request: Request) {
        let mut request = Some(request);
        if let Some(requests) = &mut *self.requests.lock() {
            requests.extend(request.take());
        }
        if request.is_some() {
            return;
        }
        // Shown first, then asked (H2).
        self.node.inner.lock().extra().host = Some(WeakHost(Arc::downgrade(&self.0)));
        if self.node.has(ORPHANED) {
            self.close();
        }
        self.node.notify_owner();
    }
}

impl Host {
    pub(super) fn new(node: Arc<Node>, ticket: Ticket, token: Option<RunToken>) -> Self {
        Self { node, ticket, requests: Mutex::new(Some(VecDeque::new())), token }
    }

    /// The host of the call that the calling thread runs.
    pub(crate) fn current() -> Option<HostRef> {
        HOST.try_with(|host| host.borrow().clone()).ok().flatten()
    }

    pub(super) fn next(&self) -> Option<Request> {
        self.requests.lock().as_mut()?.pop_front()
    }

    /// The future of the call is gone, or will not be polled again.
    pub(crate) fn close(&self) {
        let requests = self.requests.lock().take();
        drop(requests); // Outside the lock: they are foreign.
    }

    /// # Errors
    ///
    /// Why the task will not get what the thread does.
    pub(crate) fn check_cancelled(&self) -> Result<(), Cancelled> {
        if self.node.is_effective() || self.requests.lock().is_none() { Err(self.cancelled()) } else { Ok(()) }
    }

    /// Why something sent was dropped.
    pub(crate) fn cancelled(&self) -> Cancelled {
        let reason = match self.node.is_effective() {
            true => self.node.reason(),
            false => CancelReason::of(CancelSource::Dropped),
        };
        Cancelled { reason }
    }

    /// Whether the call runs on the one thread of a simulation.
    pub(crate) fn is_simulated(&self) -> bool {
        self.threads().is_simulated()
    }

    /// The threads of the task's run.
    pub(crate) fn threads(&self) -> &Threads {
        self.ticket.threads()
    }

    /// The token of the task's run. Called on the thread of the call, for which the run waits if it keeps no token.
    pub(crate) fn token(&self) -> Option<RunToken> {
        self.token.clone().or_else(|| self.threads().runtime()?.present.token())
    }
}
