//! Sequencers.

use std::sync::Arc;

use trioxide_runtime::{CancelScope, nursery};
use trioxide_testing::{Sequencer, on_each, wait_all_tasks_blocked};

use crate::common::{ALL, Log, panic_of};

#[test]
fn c116_a_sequencer_runs_blocks_in_the_order_of_their_numbers() {
    on_each(ALL, async || {
        let (order, log) = (Sequencer::new(), Log::default());
        nursery(async |n| {
            for (number, name) in [(3, "three"), (1, "one"), (4, "four"), (2, "two"), (0, "zero")] {
                let (order, log) = (order.clone(), log.clone());
                n.spawn(async move {
                    let _turn = order.turn(number).await;
                    log.note(name);
                });
            }
        })
        .await;
        assert_eq!(log.take(), ["zero", "one", "two", "three", "four"]);
        assert!(panic_of(order.turn(3)).await.contains("was asked for twice"));
    });
}

#[test]
fn c117_a_cancelled_turn_breaks_the_others_and_those_who_come_late() {
    on_each(ALL, async || {
        let order = Sequencer::new();
        let broken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let cancelled = order.clone();
            n.spawn(async move { assert!(scope.run(cancelled.turn(1)).await.is_err()) });
            for number in [2, 3] {
                let (order, broken) = (order.clone(), broken.clone());
                n.spawn(async move {
                    assert!(panic_of(order.turn(number)).await.contains("turn 1 was cancelled"));
                    broken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                });
            }
            wait_all_tasks_blocked(std::time::Duration::ZERO).await;
            handle.cancel("the test wants it");
        })
        .await;
        assert_eq!(broken.load(std::sync::atomic::Ordering::SeqCst), 2);
        for late in [0, 4] {
            assert!(panic_of(order.turn(late)).await.contains("turn 1 was cancelled"));
        }
    });
}
