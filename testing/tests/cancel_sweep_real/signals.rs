//! Signals: one that has come and was not delivered is there for the next call.

use std::cell::Cell;

use rustix::process::{Signal, getpid, kill_process};
use trioxide_io::signal::{SignalKind, ctrl_c, signal};
use trioxide_runtime::{checkpoint, join};

use crate::slot::Slot;
use crate::sweep;

fn raise(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn recv() {
    let runs = sweep(
        async |n| {
            let listener = signal(SignalKind::USER1).unwrap();
            n.spawn(async {
                checkpoint().await;
                raise(Signal::USR1);
            });
            (Slot::new(listener), Cell::new(false))
        },
        async |(listener, got)| {
            listener.lend().recv().await;
            got.set(true);
        },
        async |(listener, got), _| {
            // It would hang.
            if !got.get() {
                listener.lend().recv().await;
            }
            raise(Signal::USR1);
            listener.lend().recv().await;
        },
    );
    assert!(runs > 5, "{runs}");
}

/// Whoever listens anew, afterwards, is told of what comes then.
#[test]
fn control_c() {
    let raised = async || {
        let raise = async {
            checkpoint().await; // It listens by now.
            raise(Signal::INT);
        };
        join!(ctrl_c(), raise).0.unwrap();
    };
    let runs = sweep(async |_| (), async |()| raised().await, async |(), _| raised().await);
    assert!(runs > 5, "{runs}");
}
