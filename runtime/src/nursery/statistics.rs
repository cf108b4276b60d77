//! What goes on in a nursery.

use super::{Failure, Nursery, ordinary};
use crate::scope::node::flag::{BODY_OPEN, CLOSED};

/// What goes on in a nursery: see [`Nursery::statistics`].
///
/// A snapshot. Each number was right at some moment of the call; together they are exact only while nobody spawns or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NurseryStatistics {
    /// Ordinary children that have not ended.
    pub children: usize,
    /// Services that have not ended.
    pub services: usize,
    /// Errors that were reported, and will come out of the nursery.
    pub errors: usize,
    /// Whether the body runs: has neither ended nor been cut.
    pub body_running: bool,
    /// Whether the nursery itself was cancelled, also by a failure in it.
    pub cancel_called: bool,
    /// Whether everything in it has ended.
    pub closed: bool,
}

impl<E: Send + 'static> Nursery<E> {
    /// What goes on in the nursery at the moment.
    pub fn statistics(&self) -> NurseryStatistics {
        let node = self.node();
        let body_running = node.has(BODY_OPEN);
        let (errors, ordinary) = {
            let inner = node.inner.lock();
            let failures = inner.extra.as_ref().and_then(|extra| extra.failures.as_ref());
            let failures = failures.and_then(|failures| failures.downcast_ref::<Vec<Failure<E>>>());
            (failures.map_or(0, Vec::len), ordinary(node, &inner))
        };
        NurseryStatistics {
            children: ordinary.saturating_sub(usize::from(body_running)),
            services: node.live.services(),
            errors,
            body_running,
            cancel_called: node.is_cancelled(),
            closed: node.has(CLOSED),
        }
    }
}
