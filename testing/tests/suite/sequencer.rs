//! The sequencer: order, reuse, cancellation.

use futures_util::FutureExt;
use futures_util::future::join;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use trioxide_runtime::{CancelScope, checkpoint, nursery, run};
use trioxide_testing::{Sequencer, on_each};

const WORKERS: &[usize] = &[1, 2, 8];

#[test]
fn turns_come_in_the_order_of_their_numbers() {
    on_each(WORKERS, async || {
        let (order, log) = (Sequencer::new(), Arc::new(Mutex::new(Vec::new())));
        nursery(async |n| {
            for task in 0..4 {
                let (order, log) = (order.clone(), log.clone());
                n.spawn(async move {
                    for round in (0..5).map(|round| round * 4 + task) {
                        let _turn = order.turn(round).await;
                        log.lock().unwrap().push(round);
                        checkpoint().await;
                    }
                });
            }
        })
        .await;
        assert!(log.lock().unwrap().iter().copied().eq(0..20));
    });
}

async fn panic_of(future: impl Future) -> String {
    let panic = AssertUnwindSafe(future).catch_unwind().await.err();
    *panic.expect("it panics").downcast::<String>().expect("with a text")
}

#[test]
fn a_number_is_one_turn() {
    run(async {
        let order = Sequencer::new();
        drop(order.turn(0).await);
        assert_eq!(
            panic_of(order.turn(0)).await,
            "trioxide: turn 0 of a `Sequencer` was asked for twice; each number is one turn"
        );
        drop(order.turn(1).await);
    });
}

#[test]
fn a_cancelled_turn_breaks_the_order() {
    run(async {
        let order = Sequencer::new();
        let turn = order.turn(0).await;
        let scope = CancelScope::new();
        let handle = scope.handle();
        let waiting = panic_of(order.turn(2));
        let cancelling = async {
            let cancel = async { handle.cancel("the test wants it") };
            assert!(scope.run(join(order.turn(1), cancel)).await.is_err());
        };
        let (text, ()) = join(waiting, cancelling).await;
        assert_eq!(
            text,
            "trioxide: turn 2 of a `Sequencer` cannot come: the order is broken, \
             because turn 1 was cancelled while it waited"
        );
        drop(turn);
        let late = panic_of(order.turn(3)).await;
        assert!(late.starts_with("trioxide: turn 3 of a `Sequencer` cannot come"));
    });
}

#[test]
fn shows_where_it_stands() {
    run(async {
        let order = Sequencer::new();
        let turn = order.turn(0).await;
        assert_eq!(format!("{turn:?}"), "Turn(0)");
        assert_eq!(format!("{order:?}"), "Sequencer { current: 0, waiting: [], missing: None }");
    });
}
