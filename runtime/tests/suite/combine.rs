//! `join!`, `try_join!` and `race!`: in one task, through scopes, waited for.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, PanicOnDrop, SetOnDrop, a_while, blow, hold, panic_of};
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use trioxide_runtime::{
    CancelScope, blocking, checkpoint, finally, join, move_on_after, nursery, race, shield, sleep, sleep_forever,
    try_join,
};
use trioxide_testing::{CountDrops, on_each, on_each_with_clock};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `clean_up`, which needs several polls, when it is cut.
async fn unwinds_slowly(cleaned: &Count) {
    finally(sleep_forever(), async {
        a_while().await;
        cleaned.add();
    })
    .await;
}

#[test]
fn join_gives_all_values() {
    on_each(ALL, async || {
        let () = join!();
        assert_eq!(join!(async { 1 }), (1,));
        let text = String::from("lent");
        let mut count = 0;
        let changes = async {
            checkpoint().await;
            count += 1;
        };
        let (number, (), length, now) = join!(async { 1 }, changes, async { text.len() }, ready("now"),);
        assert_eq!((number, count, length, now), (1, 1, 4, "now"));
        let many = join!(
            ready(0),
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            ready(11),
            ready(12),
            ready(13),
            ready(14),
            ready(15),
            ready(16),
            ready(17),
            ready(18),
            ready(19),
        );
        assert_eq!((many.0, many.7, many.19), (0, 7, 19));
    });
}

#[test]
fn join_interleaves_and_begins_with_another_branch_each_time() {
    on_each(ALL, async || {
        let order = RefCell::new(String::new());
        let step = async |name: char| {
            for _ in 0..3 {
                order.borrow_mut().push(name);
                checkpoint().await;
            }
        };
        join!(step('a'), step('b'), step('c'));
        assert_eq!(order.into_inner(), "abcbcacab");
    });
}

#[test]
fn join_polls_only_what_was_woken() {
    on_each(ALL, async || {
        let (gate, polls) = (Gate::default(), Cell::new(0));
        let counted = async {
            let mut pass = pin!(gate.pass());
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                pass.as_mut().poll(cx)
            })
            .await;
        };
        let busy = async {
            a_while().await;
            assert_eq!(polls.get(), 1);
            gate.open();
        };
        join!(counted, busy);
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn join_follows_its_task_to_another_waker() {
    on_each(ALL, async || {
        let gate = Gate::default();
        let mut both = pin!(async { join!(gate.pass(), gate.pass()) });
        // First polled where nobody listens.
        assert!(both.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut unordered: FuturesUnordered<_> = [both].into_iter().collect();
        let open = async {
            a_while().await;
            gate.open();
        };
        join!(unordered.next(), open);
    });
}

#[test]
fn join_unwinds_the_others_before_it_passes_a_panic_on() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let panics = async {
            checkpoint().await;
            blow("first");
        };
        let child = cleaned.clone();
        let in_a_nursery = nursery(async |n| {
            n.spawn(async move { unwinds_slowly(&child).await });
        });
        let outcome = async { join!(unwinds_slowly(&cleaned), panics, in_a_nursery, unwinds_slowly(&cleaned)) };
        assert_eq!(panic_of(outcome).await, "first");
        assert_eq!(cleaned.get(), 3);
        checkpoint().await; // Not cancelled out here.
    });
}

#[test]
fn the_first_panic_counts() {
    on_each(ALL, async || {
        let second = finally(sleep_forever(), async { blow("second") });
        assert_eq!(panic_of(async { join!(async { blow("first") }, second) }).await, "first");
        let held = hold(PanicOnDrop("in the drop"));
        assert_eq!(panic_of(async { race!(held, checkpoint()) }).await, "in the drop");
        let both = async {
            let _second = PanicOnDrop("not while it unwinds");
            blow("first");
        };
        assert_eq!(panic_of(async { join!(both, ready(())) }).await, "first");
        let kept = async { PanicOnDrop("a value that nobody gets") };
        assert_eq!(panic_of(async { join!(kept, async { blow("panic") }) }).await, "panic");
    });
}

#[test]
fn join_is_cut_from_outside_and_waits_for_every_clean_up() {
    on_each_with_clock(ALL, async |clock| {
        let (cleaned, ended) = (Count::default(), Flag::default());
        let slow = async || {
            let clean_up = async {
                sleep(SECOND).await;
                cleaned.add();
            };
            finally(sleep_forever(), clean_up).await;
        };
        let has_a_value = async { SetOnDrop(ended.clone()) };
        let outcome = move_on_after(SECOND, async { join!(slow(), has_a_value, sleep_forever(), slow()) }).await;
        assert!(outcome.is_none());
        assert!(ended.is_set());
        assert_eq!((cleaned.get(), clock.elapsed()), (2, 2 * SECOND));
    });
}

#[test]
fn join_that_is_complete_is_delivered_in_a_cancelled_scope() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            let cancels = async {
                handle.cancel("now");
                1
            };
            join!(cancels, shield(async { checkpoint().await }), ready(2))
        });
        assert_eq!(outcome.await.unwrap(), (1, (), 2));
        let scope = CancelScope::new();
        scope.handle().cancel("before entry");
        let reached = Flag::default();
        let outcome = scope.run(async { join!(async { reached.set() }, checkpoint()) });
        assert!(outcome.await.is_err());
        assert!(reached.is_set());
    });
}

#[test]
fn a_panic_of_the_unwinding_comes_out_of_a_cancelled_scope() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let panics = finally(sleep_forever(), async {
            checkpoint().await;
            blow("in the clean-up");
        });
        let cut = move_on_after(Duration::ZERO, async { join!(panics, unwinds_slowly(&cleaned), sleep_forever()) });
        assert_eq!(panic_of(cut).await, "in the clean-up");
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn try_join_gives_all_values_or_the_first_error() {
    on_each(ALL, async || {
        assert_eq!(try_join!(), Ok::<_, ()>(()));
        assert_eq!(try_join!(async { Ok::<_, ()>(1) }, ready(Ok("two"))), Ok((1, "two")));
        let cleaned = Count::default();
        let late = finally(sleep_forever(), async { a_while().await });
        let outcome = try_join!(
            async {
                unwinds_slowly(&cleaned).await;
                Ok(1)
            },
            async {
                a_while().await;
                Err::<(), _>("first")
            },
            async {
                late.await;
                Err::<(), _>("never reached: what is cut has no output")
            },
            async {
                // Not cut, so it does have one; but the first error was there before.
                shield(a_while()).await;
                shield(a_while()).await;
                Err::<(), _>("second")
            },
        );
        assert_eq!(outcome, Err("first"));
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn an_error_of_the_unwinding_comes_out_of_a_cancelled_scope() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let told = Cell::new(None);
        let outcome = move_on_after(Duration::ZERO, async {
            let fails = async {
                shield(a_while()).await;
                Err::<(), _>("late")
            };
            let unwinds = async {
                unwinds_slowly(&cleaned).await;
                Ok(())
            };
            told.set(try_join!(fails, unwinds).err());
            checkpoint().await;
        });
        assert!(outcome.await.is_none());
        assert_eq!((told.get(), cleaned.get()), (Some("late"), 1));
    });
}

#[test]
fn race_gives_the_first_value_when_the_losers_have_unwound() {
    on_each(ALL, async || {
        let (cleaned, drops) = (Count::default(), CountDrops::new());
        let child = cleaned.clone();
        let with_children = nursery(async |n| {
            n.spawn(async move { unwinds_slowly(&child).await });
            sleep_forever().await;
        });
        let winner = race!(
            async {
                hold(drops.guard()).await;
                "held"
            },
            async {
                unwinds_slowly(&cleaned).await;
                "clean-up"
            },
            async {
                with_children.await;
                "children"
            },
            async {
                a_while().await;
                "first"
            },
        );
        assert_eq!(winner, "first");
        assert_eq!((cleaned.get(), drops.dropped()), (2, 1));
        checkpoint().await;
    });
}

#[test]
fn race_of_branches_that_are_ready_polls_no_further_than_the_first() {
    on_each(ALL, async || {
        let polls = Cell::new(0);
        let at_once = async || polls.set(polls.get() + 1);
        race!(at_once(), at_once());
        assert_eq!(polls.get(), 1);
        assert_eq!(race!(async { 3 }), 3);
    });
}

#[test]
fn races_in_a_loop_starve_no_branch_and_each_poll_begins_with_another() {
    on_each(ALL, async || {
        let mut winners = [0; 3];
        for _ in 0..200 {
            winners[race!(ready(0), ready(1), ready(2))] += 1;
        }
        assert!(winners.iter().all(|&won| won > 20), "{winners:?}");

        let order = RefCell::new(vec![]);
        let branch = async |name| {
            order.borrow_mut().push(name);
            checkpoint().await;
            name
        };
        for _ in 0..20 {
            order.borrow_mut().clear();
            let winner = race!(branch("a"), branch("b"));
            assert_eq!([winner], order.borrow()[1..]);
        }
    });
}

/// Takes an item out of the slot, or waits until one is put in.
async fn take(slot: &Mutex<(Option<u32>, Option<Waker>)>) -> u32 {
    poll_fn(|cx| {
        let mut slot = slot.lock().unwrap();
        slot.1 = Some(cx.waker().clone());
        slot.0.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

#[test]
fn what_was_handed_to_a_loser_is_not_taken() {
    on_each(ALL, async || {
        let slot = Mutex::new((None, None::<Waker>));
        let winner = race!(
            async {
                checkpoint().await;
                checkpoint().await;
                slot.lock().unwrap().0 = Some(7);
                let waker = slot.lock().unwrap().1.take();
                waker.unwrap().wake();
                0
            },
            take(&slot),
        );
        assert_eq!(winner, 0);
        assert_eq!(slot.into_inner().unwrap().0, Some(7));
    });
}

#[test]
fn race_waits_for_a_call_that_blocks() {
    on_each(ALL, async || {
        let (go, wait) = mpsc::channel::<()>();
        let ended = Flag::default();
        let call = ended.clone();
        let winner = race!(
            async {
                blocking(move || {
                    wait.recv().unwrap();
                    call.set();
                })
                .await;
                "the call"
            },
            async {
                checkpoint().await;
                go.send(()).unwrap();
                "the other"
            },
        );
        assert_eq!(winner, "the other");
        assert!(ended.is_set());
    });
}

#[test]
fn race_is_cut_from_outside_with_all_its_branches() {
    on_each_with_clock(ALL, async |clock| {
        let cleaned = Count::default();
        let outcome = move_on_after(SECOND, async { race!(unwinds_slowly(&cleaned), unwinds_slowly(&cleaned)) });
        assert_eq!(outcome.await, None);
        assert_eq!((cleaned.get(), clock.elapsed()), (2, SECOND));
        let won = move_on_after(SECOND, async {
            race!(
                async {
                    unwinds_slowly(&cleaned).await;
                    0
                },
                async {
                    // Cancelled while it is under way; but then it has a value.
                    shield(sleep(2 * SECOND)).await;
                    1
                },
            )
        });
        assert_eq!(won.await, Some(1));
    });
}

#[test]
fn a_loser_that_panics_is_told_of() {
    on_each(ALL, async || {
        let loser = finally(sleep_forever(), async {
            a_while().await;
            blow("a loser");
        });
        assert_eq!(panic_of(async { race!(loser, checkpoint()) }).await, "a loser");
    });
}

#[test]
fn races_within_races_end_from_the_inside() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let inner =
            async { race!(unwinds_slowly(&cleaned), async { join!(unwinds_slowly(&cleaned), pending::<()>()).0 }) };
        race!(inner, a_while());
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn dropped_half_way_it_holds_nothing_up() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let ended = Count::default();
        for step in 0..3 {
            let child = ended.clone();
            let children = nursery(async |n| {
                n.spawn(async move { unwinds_slowly(&child).await });
                sleep_forever().await;
            });
            let body = async {
                match step {
                    0 => drop(join!(hold(drops.guard()), children)),
                    1 => drop(try_join!(hold(drops.guard()).map(Ok::<_, ()>), children.map(Ok))),
                    _ => race!(hold(drops.guard()), children),
                }
            };
            match select(Box::pin(body), pin!(a_while())).await {
                Either::Left(_) => unreachable!("nothing in it ends"),
                Either::Right(((), body)) => drop(body),
            }
        }
        assert_eq!(drops.dropped(), 3);
        crate::common::all_wait().await; // Still inside this task, which waits for them in any case.
        assert_eq!(ended.get(), 3);
    });
}

#[test]
fn dropped_right_after_a_hand_off_it_takes_nothing() {
    on_each(ALL, async || {
        let slot = Mutex::new((None, None::<Waker>));
        let body = async { join!(take(&slot), pending::<()>()) };
        {
            let mut body = pin!(body);
            poll_fn(|cx| {
                assert!(body.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            slot.lock().unwrap().0 = Some(7);
            let waker = slot.lock().unwrap().1.take();
            waker.unwrap().wake();
        }
        assert_eq!(slot.into_inner().unwrap().0, Some(7));
    });
}

#[test]
fn forgotten_it_does_not_hold_up_the_cancel() {
    on_each(ALL, async || {
        let outcome = move_on_after(Duration::ZERO, async {
            let mut body = Box::pin(async { join!(sleep_forever(), finally(sleep_forever(), a_while())) });
            poll_fn(|cx| {
                assert!(body.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            std::mem::forget(body);
            sleep_forever().await;
        });
        assert_eq!(outcome.await, None);
    });
}

#[test]
fn branches_may_be_children_of_any_worker() {
    on_each(ALL, async || {
        let sum = Arc::new(Mutex::new(0));
        nursery(async |n| {
            for number in 0..100 {
                let sum = Arc::clone(&sum);
                n.spawn(async move {
                    let (a, b) = join!(async { number }, async {
                        checkpoint().await;
                        number
                    });
                    let c = race!(sleep_forever().map(|()| 0), async {
                        checkpoint().await;
                        number
                    });
                    *sum.lock().unwrap() += a + b + c;
                });
            }
        })
        .await;
        assert_eq!(*sum.lock().unwrap(), 3 * 4950);
    });
}
