//! 79: what a signal tells those that it cancels. On real signals, in a child process.

use libc::SIGINT;
use trioxide_runtime::{CancelSource, Runtime, finally, nursery, sleep_forever, stopping};

use super::common::ALL;
use super::process::{self, Child, say};

#[test]
fn c079_what_a_signal_cancels_sees_the_signal_as_the_source() {
    for workers in ALL {
        let mut child = Child::start("signals::child", &workers.to_string());
        child.expect("ready");
        child.send(SIGINT);
        child.expect("stopping");
        child.send(SIGINT);
        child.expect("the sibling was cut: Signal, SIGINT");
        assert_eq!(child.end(), -SIGINT);
    }
}

/// Plays the part of the child process; in a run of all tests it does nothing.
#[test]
fn child() {
    let Some(workers) = process::case() else { return };
    let runtime = Runtime::builder().workers(workers.parse().unwrap()).build().unwrap();
    runtime.run(nursery(async |n| {
        let sibling = n.spawn(sleep_forever());
        say("ready");
        stopping().await;
        let clean_up = async {
            let reason = sibling.await.unwrap_err().reason().clone();
            assert_eq!(reason.source(), CancelSource::Signal);
            say(&format!("the sibling was cut: {:?}, {}", reason.source(), reason.message().unwrap()));
        };
        finally(
            async {
                say("stopping");
                sleep_forever().await;
            },
            clean_up,
        )
        .await;
    }));
}
