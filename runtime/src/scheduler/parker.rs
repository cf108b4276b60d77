//! Where a worker blocks, and how it is made to go on.
//!
//! ```text
//!            park                unpark
//!   EMPTY ─────────▶ BLOCKED ───────────▶ TOKEN ──▶ (park returns) EMPTY
//!   EMPTY ─────────▶ AT_DRIVER ─────────▶ TOKEN, and the driver is woken
//!   EMPTY ── unpark ─▶ TOKEN: the next park returns at once
//! ```
//!
//! A token is given to a worker that was claimed, and to nobody else, and that worker uses it up before it goes on: see `Worker::rise`.
#![allow(unreachable_pub)] // The loom models use it.

use std::time::{Duration, Instant};

use super::driver::Driver;
use crate::primitives::Mutex;
use crate::primitives::atomic::AtomicU32;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitives::thread::{self, Thread};

const EMPTY: u32 = 0;
const BLOCKED: u32 = 1;
const AT_DRIVER: u32 = 2;
const TOKEN: u32 = 3;

/// See the module.
pub struct Parker {
    state: AtomicU32,
    /// The thread that parks here now: worker 0 is another one in each run.
    thread: Mutex<Option<Thread>>,
}

impl Parker {
    /// Nobody is to be woken.
    pub fn new() -> Self {
        Self { state: AtomicU32::new(EMPTY), thread: Mutex::new(None) }
    }

    /// The calling thread is going to park here.
    pub fn bind(&self) {
        *self.thread.lock() = Some(thread::current());
    }

    /// Blocks until `unpark`, at most for `timeout`; whether it was that, and the token is used up.
    pub fn park(&self, timeout: Option<Duration>) -> bool {
        if !self.enter(BLOCKED) {
            return true;
        }
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match until {
                None => thread::park(),
                Some(until) => match until.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => thread::park_timeout(left),
                    _ => break,
                },
            }
            // Acquire pairs with `unpark`. Anything else than a token is somebody else's use of this thread's parking.
            if self.state.load(Acquire) == TOKEN {
                break;
            }
        }
        self.state.swap(EMPTY, AcqRel) == TOKEN
    }

    /// Whether `unpark` was called; the token is used up.
    pub fn take_token(&self) -> bool {
        // Acquire pairs with `unpark`.
        self.state.load(Relaxed) == TOKEN && self.state.swap(EMPTY, AcqRel) == TOKEN
    }

    /// Waits in the driver until it has something, until `unpark`, at most for `timeout`; whether a token is used up.
    pub fn park_at(&self, driver: &dyn Driver, timeout: Option<Duration>) -> bool {
        if self.enter(AT_DRIVER) {
            driver.wait(timeout);
            self.state.swap(EMPTY, AcqRel) == TOKEN
        } else {
            driver.wait(Some(Duration::ZERO));
            true
        }
    }

    fn enter(&self, as_state: u32) -> bool {
        let entered = self.state.compare_exchange(EMPTY, as_state, AcqRel, Acquire).is_ok();
        if !entered {
            self.state.swap(EMPTY, AcqRel); // It was a token, which is used up now.
        }
        entered
    }

    /// Makes the present or the next `park` return.
    pub fn unpark(&self, driver: Option<&dyn Driver>) {
        // Release pairs with `park`: what the caller has queued is seen by the worker.
        match self.state.swap(TOKEN, AcqRel) {
            BLOCKED => {
                if let Some(thread) = &*self.thread.lock() {
                    thread.unpark();
                }
            }
            AT_DRIVER => {
                if let Some(driver) = driver {
                    driver.wake();
                }
            }
            _ => {}
        }
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}
