//! Promise 2: an error cancels the siblings, joins them, and comes out; a panic does the same and is resumed in the parent.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};

use crate::common::{
    ALL, Flag, Gate, Never, PanicOnDrop, SetOnDrop, a_while, all_wait, blow, errors, hold, panic_in, panic_of,
};
use futures_util::future::select;
use futures_util::{FutureExt, poll};
use trioxide_runtime::{
    CancelReason, CancelSource, Nursery, NurseryError, Runtime, blocking, checkpoint, finally, nursery, nursery_with,
    shield, sleep_forever,
};
use trioxide_testing::{CountDrops, on_each};

#[derive(Debug, PartialEq)]
struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Broken {}

#[test]
fn the_error_of_a_child_cancels_the_siblings_and_the_body_and_comes_out() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let joined: Result<(), NurseryError<Broken>> = nursery(async |n| {
            let siblings: Vec<_> = (0..20).map(|_| n.spawn(hold(drops.guard()))).collect();
            drop(n.spawn(async {
                a_while().await;
                Err::<(), _>(Broken("pipe"))
            }));
            let _guard = drops.guard();
            for sibling in siblings {
                let _ = sibling.await;
            }
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), [Broken("pipe")]);
        assert_eq!(drops.dropped(), 21);
    });
}

#[test]
fn the_task_handle_of_a_failed_child_says_cancelled_and_keeps_no_error_back() {
    on_each(ALL, async || {
        let mut failed = None;
        let joined: Result<(), NurseryError<Broken>> = nursery(async |n| {
            failed = Some(n.spawn(async { Err::<u8, _>(Broken("pipe")) }));
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), [Broken("pipe")]);
        let cancelled = failed.unwrap().await.unwrap_err();
        assert_eq!(cancelled.reason().source(), CancelSource::Failed);
    });
}

#[test]
fn errors_of_two_children_and_the_body_come_out_together_in_the_order_of_their_reports() {
    on_each(ALL, async || {
        let (first, second) = (Flag::default(), Flag::default());
        let joined: Result<(), NurseryError<Broken>> = nursery(async |n| {
            let one = n.spawn(async { Err::<(), _>(Broken("one")) });
            let (saw_first, tell_second) = (first.clone(), second.clone());
            let two = n.spawn(shield(async move {
                saw_first.wait().await;
                Err::<(), _>(Broken("two"))
            }));
            shield(async {
                let _ = one.await;
                first.set();
                let _ = two.await;
                tell_second.set();
            })
            .await;
            Err(Broken("body"))
        })
        .await;
        assert!(second.is_set());
        assert_eq!(errors(joined), [Broken("one"), Broken("two"), Broken("body")]);
    });
}

#[derive(Debug, PartialEq)]
enum Failure {
    Number(std::num::ParseIntError),
    Text(std::string::FromUtf8Error),
}

impl From<std::num::ParseIntError> for Failure {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::Number(error)
    }
}

impl From<std::string::FromUtf8Error> for Failure {
    fn from(error: std::string::FromUtf8Error) -> Self {
        Self::Text(error)
    }
}

#[test]
fn errors_of_children_convert_into_that_of_the_nursery() {
    on_each(ALL, async || {
        let joined: Result<u8, NurseryError<Failure>> = nursery(async |n| {
            let good = n.spawn(async { "7".parse::<u8>() });
            let seven = good.await.unwrap();
            let bad = n.spawn(async { String::from_utf8(vec![0xff]) });
            let _ = bad.await;
            Ok(seven)
        })
        .await;
        assert!(matches!(errors(joined)[..], [Failure::Text(_)]));
        let joined: Result<u8, NurseryError<Failure>> = nursery(async |_| Ok("x".parse::<u8>()?)).await;
        assert!(matches!(errors(joined)[..], [Failure::Number(_)]));
    });
}

#[test]
fn a_panic_is_resumed_with_its_payload() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let run = || runtime.run(nursery(async |n| drop(n.spawn(async { panic_any(Broken("payload")) }.map(|()| ())))));
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(payload.downcast_ref::<Broken>(), Some(&Broken("payload")));
        assert_eq!(runtime.run(async { 7 }), 7, "the runtime is none the worse for it");
    }
}

#[test]
fn a_panic_beats_errors() {
    on_each(ALL, async || {
        let failed = Flag::default();
        let panic = panic_of(nursery(async |n| {
            let seen = failed.clone();
            drop(n.spawn(shield(async move {
                seen.wait().await;
                blow("child");
            })));
            let error = n.spawn(async { Err::<(), _>(Broken("pipe")) });
            shield(async {
                let _ = error.await;
                failed.set();
            })
            .await;
            Err::<(), _>(Broken("body"))
        }))
        .await;
        assert_eq!(panic, "child");
    });
}

#[test]
fn a_panic_in_the_drop_of_a_child_that_is_cut_comes_out() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |n| {
            drop(n.spawn(hold(PanicOnDrop("in drop"))));
            a_while().await;
            n.cancel("enough");
            checkpoint().await;
        }))
        .await;
        assert_eq!(panic, "in drop");
    });
}

#[test]
fn a_panic_in_the_drop_of_a_body_that_is_cut_comes_out() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |n| {
            n.cancel("enough");
            hold(PanicOnDrop("in drop")).await;
        }))
        .await;
        assert_eq!(panic, "in drop");
    });
}

#[test]
fn a_panic_in_the_drop_of_a_value_that_nobody_took_is_contained() {
    on_each(ALL, async || {
        nursery(async |n| {
            let early = n.spawn(async { Ok::<_, Never>(PanicOnDrop("value")) });
            drop(n.spawn(async { Ok::<_, Never>(PanicOnDrop("value")) }));
            all_wait().await;
            assert!(early.is_finished());
            drop(early);
        })
        .await;
    });
}

/// A child that panics when the gate opens, whatever has cancelled it.
fn bomb(gate: Gate, started: Flag) -> impl Future<Output = ()> + Send {
    shield(async move {
        started.set();
        gate.pass().await;
        blow("orphan");
    })
}

/// What comes out when a task loses the future of a nursery with a bomb in it, by way of `lose`, and only then the bomb goes off.
async fn panic_of_task_that<F>(lose: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>, Flag) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let (gate, started, lost) = (Gate::default(), Flag::default(), Flag::default());
    panic_of(nursery(async |outer| {
        let lose = lose(Box::pin(bomb(gate.clone(), started.clone())), started.clone());
        let tell = lost.clone();
        drop(outer.spawn(async move {
            lose.await;
            tell.set();
        }));
        lost.wait().await;
        a_while().await;
        gate.open();
        sleep_forever().await;
    }))
    .await
}

#[test]
fn the_panic_of_a_child_whose_nursery_was_dropped_becomes_that_of_the_task() {
    on_each(ALL, async || {
        let panic = panic_of_task_that(async |bomb, started| {
            let running = nursery(async move |n| {
                drop(n.spawn(bomb));
                sleep_forever().await;
            });
            let _ = select(pin!(running), pin!(started.wait())).await;
        });
        assert_eq!(panic.await, "orphan");
    });
}

#[test]
fn the_panic_of_a_child_whose_nursery_was_forgotten_becomes_that_of_the_task() {
    for body_ends in [false, true] {
        on_each(ALL, async || {
            let panic = panic_of_task_that(async move |bomb, started| {
                let mut running = Box::pin(nursery(async move |n| {
                    drop(n.spawn(bomb));
                    if !body_ends {
                        sleep_forever().await;
                    }
                }));
                assert!(poll!(&mut running).is_pending());
                started.wait().await;
                mem::forget(running);
            });
            assert_eq!(panic.await, "orphan");
        });
    }
}

#[test]
fn a_panic_in_a_nursery_that_closes_before_it_is_forgotten_becomes_that_of_the_task() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |outer| {
            let task = outer.spawn(async {
                let (mut closed, go) = (None, Gate::default());
                let gate = go.clone();
                let mut running = Box::pin(nursery(async |n| {
                    drop(n.spawn(async move {
                        gate.pass().await;
                        blow("orphan");
                    }));
                    closed = Some(n);
                }));
                assert!(poll!(&mut running).is_pending());
                mem::forget(running);
                go.open();
                let n = closed.expect("the body has ended");
                all_wait().await;
                assert!(n.try_spawn(async {}).is_err());
            });
            let _ = task.await;
        }));
        assert_eq!(panic.await, "orphan");
    });
}

#[test]
fn a_panic_that_was_reported_before_its_nursery_was_dropped_becomes_that_of_the_task() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |outer| {
            drop(outer.spawn(async {
                let gone = Flag::default();
                let guard = SetOnDrop(gone.clone());
                let running = nursery(async move |n| {
                    drop(n.spawn(async move {
                        let _guard = guard;
                        checkpoint().await;
                        blow("orphan");
                    }));
                    shield(Gate::default().pass()).await;
                });
                let _ = select(pin!(running), pin!(gone.wait())).await;
            }));
        }));
        assert_eq!(panic.await, "orphan");
    });
}

#[test]
fn a_panic_in_a_blocking_call_is_that_of_its_task() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |n| drop(n.spawn(blocking(|| blow("closure"))))));
        assert_eq!(panic.await, "closure");
    });
}

#[test]
fn a_panic_in_a_nursery_with_comes_out_as_from_any_other() {
    on_each(ALL, async || {
        let panic = panic_of(nursery_with("env", async |s| {
            let env = *s.env();
            drop(s.spawn(async move { blow(env) }));
        }));
        assert_eq!(panic.await, "env");
    });
}

#[test]
fn the_panic_of_main_comes_out_of_run() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        assert_eq!(panic_in(|| runtime.run(async { blow("main") })), "main");
        let result: Result<(), Broken> = runtime.run(async { Err(Broken("main")) });
        assert_eq!(result, Err(Broken("main")), "an error of the main future is its value");
    }
}

#[test]
fn a_group_prints_as_a_tree_with_names_and_spawn_sites() {
    on_each(ALL, async || {
        let go = Flag::default();
        let (mut lines, mut ids) = (Vec::new(), Vec::new());
        let joined: Result<(), NurseryError<Broken>> = nursery(async |n| {
            let failed = n.task("reader").spawn(async { Err::<(), _>(Broken("first line\nsecond line")) });
            lines.push(line!() - 1);
            let may_fail = go.clone();
            let other = shield(async move {
                may_fail.wait().await;
                Err::<(), _>(Broken("reset"))
            });
            let other = n.spawn(other);
            lines.push(line!() - 1);
            ids.extend([failed.id(), other.id()]);
            shield(async {
                let _ = failed.await;
                go.set();
                let _ = other.await;
            })
            .await;
            Err(Broken("gave up"))
        })
        .await;
        let error = joined.unwrap_err();
        let NurseryError::Failed(group) = &error else { panic!("it has failed") };
        let origins: Vec<_> = group.failures().iter().map(|failure| failure.origin.clone()).collect();
        let columns: Vec<_> = origins.iter().filter_map(|origin| origin.spawned_at()).map(|at| at.column()).collect();
        let (file, [first, second], [named, plain]) = (file!(), [ids[0], ids[1]], [lines[0], lines[1]]);
        let expected = format!(
            "3 errors in the nursery\n\
             ├─ task {first} \"reader\", spawned at {file}:{named}:{}: first line\n\
             │  second line\n\
             ├─ task {second}, spawned at {file}:{plain}:{}: reset\n\
             └─ body: gave up",
            columns[0], columns[1],
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(origins[0].name(), Some("reader"));
        assert_eq!((origins[1].name(), origins[1].task()), (None, Some(second)));
        assert_eq!((origins[2].task(), origins[2].spawned_at()), (None, None));
    });
}

#[test]
fn a_group_of_one_is_in_the_singular_and_its_source_is_its_first_error() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<Broken>> = nursery(async |_| Err(Broken("no"))).await;
        let error = joined.unwrap_err();
        assert_eq!(error.to_string(), "1 error in the nursery\n└─ body: no");
        let source = error.source().and_then(|source| source.downcast_ref::<Broken>());
        assert_eq!(source, Some(&Broken("no")));
        let NurseryError::Failed(group) = error else { panic!("it has failed") };
        assert_eq!((group.len(), group.first(), group.iter().count()), (1, &Broken("no"), 1));
        assert_eq!(group.into_first(), Broken("no"));
    });
}

#[test]
fn a_plain_error_becomes_a_nursery_error_with_the_place_of_the_question_mark() {
    fn fails() -> Result<(), NurseryError<Broken>> {
        Err(Broken("plain"))?;
        Ok(())
    }
    let text = fails().unwrap_err().to_string();
    let start = format!("1 error in the nursery\n└─ body, at {}:", file!());
    assert!(text.starts_with(&start) && text.ends_with(": plain"), "{text}");
}

#[test]
fn question_mark_carries_the_error_of_an_inner_nursery_out_of_an_outer_one() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<NurseryError<Broken>>> = nursery(async |outer| {
            let child = outer.spawn(nursery(async |n| {
                drop(n.spawn(async { Err::<(), _>(Broken("deep")) }));
                sleep_forever().await;
                Ok::<_, Broken>(())
            }));
            shield(async {
                let _ = child.await;
                nursery(async |_| Err::<(), _>(Broken("body"))).await
            })
            .await?;
            Ok(())
        })
        .await;
        let error = joined.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("2 errors in the nursery\n├─ task "), "{text}");
        assert!(text.contains(": 1 error in the nursery\n│  └─ task "), "{text}");
        assert!(text.ends_with("\n└─ body: 1 error in the nursery\n   └─ body: body"), "{text}");
        let depth = std::iter::successors(Some(&error as &dyn Error), |error: &&dyn Error| {
            let error: &dyn Error = *error;
            error.source()
        })
        .count();
        assert_eq!(depth, 3, "the outer error, the inner one, the cause");
    });
}

#[test]
fn a_cancelled_nursery_says_why() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<Broken>> = nursery(async |n| {
            n.cancel(String::from("not needed"));
            sleep_forever().await;
            Ok(())
        })
        .await;
        let error = joined.unwrap_err();
        assert_eq!(error.to_string(), "the nursery was cancelled: on request: not needed");
        assert!(error.source().is_none());
        assert!(matches!(error, NurseryError::Cancelled(reason) if reason == CancelReason::from("not needed")));
    });
}

#[test]
fn a_cancelled_nursery_whose_body_has_completed_gives_its_value() {
    on_each(ALL, async || {
        let joined: Result<u32, NurseryError<Never>> = nursery(async |n| {
            n.spawn(sleep_forever());
            n.cancel("the value is there");
            Ok(7)
        })
        .await;
        assert_eq!(joined.unwrap(), 7);
    });
}

#[test]
fn a_panic_before_the_body_is_a_future_waits_for_the_children() {
    on_each(ALL, async || {
        let ended = Flag::default();
        let nursery = nursery(|n: Nursery<Never>| {
            let ended = ended.clone();
            n.spawn(async move {
                finally(sleep_forever(), async move {
                    checkpoint().await;
                    ended.set();
                })
                .await;
            });
            let fails = true;
            assert!(!fails, "too early");
            async {}
        });
        let panic = AssertUnwindSafe(nursery).catch_unwind().await.expect_err("the panic comes out");
        assert!(ended.is_set() && panic.downcast_ref::<&str>() == Some(&"too early"));
    });
}
