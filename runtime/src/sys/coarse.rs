//! A look at the clock that costs a fourth of an exact one, and tells what is still far away.
//!
//! The system writes down the time with each tick of its timer, and `CLOCK_MONOTONIC_COARSE` is what was written last: `CLOCK_MONOTONIC`, which [`Instant`]
//! is made of, up to a tick ago. One processor does that for all. It may go idle, and then one that runs takes over with its next tick; and it may be kept
//! from it, by a long critical section or by the host of a virtual machine. Then the others write in its place after six ticks (`MAX_STALLED_JIFFIES` in
//! `kernel/time/tick-sched.c`). So where code runs, the coarse clock lags behind by some seven ticks at most, and twice as many and more are allowed for
//! (`TICKS`). Kernels of before 2022 do not help one another out like this: there, if the host takes away one processor for longer and not the other, what
//! comes meanwhile is seen when that one is back, or by a timer, for those are set by the exact clock.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// So many ticks the coarse clock may lag behind.
const TICKS: u32 = 16;

/// What ticks faster is no coarse clock: some system that is not Linux gives the exact time under both names.
const FASTEST: Duration = Duration::from_millis(1);

/// What the coarse clock shows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tick(libc::time_t, libc::c_long);

thread_local! {
    /// What it has shown, and a moment that will not have come as long as it shows that: an exact look after the first one, and the lag.
    static SHOWN: Cell<Option<(Tick, Instant)>> = const { Cell::new(None) };
}

/// Whether `moment` is so far away that it need not be compared with the exact time. False says nothing.
#[inline]
pub(crate) fn is_far(moment: Instant) -> bool {
    let Some(lag) = lag() else { return false };
    // SAFETY: `now` is a place for what is written.
    let Some(tick) = read(|now| unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, now) }) else {
        return false;
    };
    SHOWN.with(|shown| match shown.get() {
        Some((known, ahead)) if known == tick => ahead < moment,
        _ => Instant::now().checked_add(lag).is_some_and(|ahead| {
            shown.set(Some((tick, ahead)));
            ahead < moment
        }),
    })
}

/// So far the coarse clock may lag behind; `None`: it is of no use.
#[inline]
fn lag() -> Option<Duration> {
    static LAG: OnceLock<Option<Duration>> = OnceLock::new();
    *LAG.get_or_init(|| {
        // SAFETY: `tick` is a place for what is written.
        let Tick(seconds, nanos) = read(|tick| unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, tick) })?;
        let tick = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
        (tick >= FASTEST).then(|| tick.checked_mul(TICKS)).flatten()
    })
}

#[inline]
fn read(call: impl FnOnce(*mut libc::timespec) -> libc::c_int) -> Option<Tick> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    if call(time.as_mut_ptr()) != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so it was written.
    let time = unsafe { time.assume_init() };
    Some(Tick(time.tv_sec, time.tv_nsec))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{is_far, lag};

    #[test]
    fn what_has_come_is_not_far_and_what_is_far_has_not_come() {
        let lag = lag().expect("Linux has a coarse clock");
        let begin = Instant::now();
        let near = begin + lag;
        while begin.elapsed() < Duration::from_millis(30) {
            // real time: some ticks of the system's timer
            assert!(!is_far(Instant::now()));
            assert!(!is_far(near), "{near:?} is no further than the clock may lag");
            let far = Instant::now() + lag + Duration::from_secs(1);
            assert!(is_far(far), "the time has gone on by a second since the last tick");
        }
    }
}
