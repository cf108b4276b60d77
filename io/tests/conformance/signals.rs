//! Signals, beside handlers that are not ours.
#![allow(unsafe_code)] // signal(2) and raise(3)

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use trioxide_io::signal::{SignalKind, signal};
use trioxide_runtime::move_on_after;
use trioxide_testing::on_each_with_clock;

use crate::common::ALL;

static GOT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: c_int) {
    GOT.fetch_add(1, Relaxed);
}

/// Trio puts the handlers aside that there were, and gives them what was not read in the end. Here nobody is put aside: they have it before, once.
#[test]
fn c239_a_signal_that_is_not_read_has_gone_to_the_handler_that_was_there_before() {
    let raise = || {
        // SAFETY: raise(3) asks nothing of its caller, and there is a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGWINCH) }, 0);
    };
    // SAFETY: the handler only adds to an atomic; no other test of this binary has to do with this signal.
    unsafe { libc::signal(libc::SIGWINCH, count as *const () as libc::sighandler_t) };
    on_each_with_clock(ALL, async |_| {
        let before = GOT.load(Relaxed);
        let listener = signal(SignalKind::WINDOW_CHANGE).unwrap();
        raise();
        assert_eq!(GOT.load(Relaxed), before + 1, "at once");
        drop(listener);
        assert_eq!(GOT.load(Relaxed), before + 1, "not again");
        // Nor does it go to who begins to listen now.
        let mut later = signal(SignalKind::WINDOW_CHANGE).unwrap();
        assert!(move_on_after(Duration::from_secs(3600), later.recv()).await.is_none());
        raise();
        later.recv().await;
        assert_eq!(GOT.load(Relaxed), before + 2);
    });
}
