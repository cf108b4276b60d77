//! Sentries: no worker runs unwatched while another sleeps for good.

use std::sync::Arc;

use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::models::{Idle, Risen, Seen, Sentries};

/// Both workers sleep, worker 0 as the last sentry. Its nap ends, nothing has stirred, and it is about to sleep for good; just then an event
/// gets worker 1 up.
#[test]
fn the_last_sentry_goes_to_sleep_while_another_worker_gets_up() {
    explore("sentry: the last one leaves while another worker gets up", 3, || {
        let shared = Arc::new((Idle::new(2), Sentries::new()));
        let seen = Seen::default();
        let (idle, sentries) = &*shared;
        let _ = idle.lie_down(0, false);
        assert!(sentries.enter(idle, &seen), "worker 1 runs");
        let _ = idle.lie_down(1, false);

        let other = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (idle, sentries) = &*shared;
                let _ = idle.rise(1);
                // Whether it has woken worker 0, which then looks for work.
                sentries.stir(idle) && idle.claim_this(0)
            }
        });
        let claimed = idle.rise(0) == Risen::Claimed;
        sentries.leave();
        let _ = idle.lie_down(0, claimed);
        let posted = sentries.enter(idle, &seen);
        let woken = other.join().unwrap();
        assert!(posted || woken, "worker 1 runs, and worker 0 sleeps for good");
    });
}
