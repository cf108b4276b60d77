//! The times of many events, and their quantiles.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Room for the lateness of a number of events, written by any thread.
#[derive(Debug)]
pub struct Log {
    nanos: Box<[AtomicU64]>,
    used: AtomicUsize,
}

impl Log {
    /// For at most `events`; further ones are not kept.
    #[must_use]
    pub fn new(events: usize) -> Self {
        Self { nanos: (0..events).map(|_| AtomicU64::new(0)).collect(), used: AtomicUsize::new(0) }
    }

    /// Something that was due at `due` happens now.
    pub fn note(&self, due: Instant) {
        let late = Instant::now().saturating_duration_since(due);
        if let Some(slot) = self.nanos.get(self.used.fetch_add(1, Relaxed)) {
            slot.store(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// What has been noted. The writers have been joined.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let used = self.used.load(Relaxed).min(self.nanos.len());
        Quantiles::of(self.nanos[..used].iter().map(|nanos| nanos.load(Relaxed)).collect())
    }
}

/// How late the events of a run were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantiles {
    sorted: Vec<u64>,
}

impl Quantiles {
    /// Of lateness in nanoseconds.
    #[must_use]
    pub fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        Self { sorted: nanos }
    }

    /// How many events there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest lateness that a share of `quantile` (0 to 1) of the events does not exceed; `None` without events.
    #[must_use]
    pub fn at(&self, quantile: f64) -> Option<Duration> {
        let rank = (quantile * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.clamp(1, self.sorted.len().max(1)) - 1).map(|nanos| Duration::from_nanos(*nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_events() {
        let quantiles = Quantiles::of((1..=1000).rev().collect());
        let at = |quantile| quantiles.at(quantile).unwrap().as_nanos();
        assert_eq!((at(0.5), at(0.99), at(0.999), at(1.0)), (500, 990, 999, 1000));
        assert_eq!(at(0.0), 1);
        assert_eq!(Quantiles::of(Vec::new()).at(0.5), None);
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let log = Log::new(2);
        let now = Instant::now();
        (0..3).for_each(|_| log.note(now));
        assert_eq!(log.quantiles().count(), 2);
    }
}
