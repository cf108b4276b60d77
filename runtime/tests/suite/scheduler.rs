//! Workers, queues and wakes: nothing is lost, nobody starves, and a runtime can be used again.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, Never, a_while, all_wait, panic_in};
use futures_util::poll;
use trioxide_runtime::{Nursery, Runtime, checkpoint, move_on_after, nursery, sleep, sleep_forever};
use trioxide_testing::{MockClock, on_each};

#[test]
fn a_million_tasks() {
    on_each(&[1, 2], async || {
        let ran = Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for _ in 0..1_000_000 {
                let ran = ran.clone();
                drop(n.spawn(async move {
                    ran.fetch_add(1, Ordering::Relaxed);
                }));
            }
        })
        .await;
        assert_eq!(ran.load(Ordering::Relaxed), 1_000_000);
    });
}

#[test]
fn a_hundred_thousand_suspended_tasks_are_cut() {
    on_each(ALL, async || {
        let started = Count::default();
        nursery(async |n| {
            for _ in 0..100_000 {
                let started = started.clone();
                drop(n.spawn(async move {
                    started.add();
                    sleep_forever().await;
                }));
            }
            all_wait().await;
            assert_eq!(started.get(), 100_000);
            n.cancel("enough");
        })
        .await;
    });
}

#[test]
fn a_storm_of_yields() {
    on_each(&[1, 2, 8, 16], async || {
        let steps = Count::default();
        nursery(async |n| {
            for _ in 0..100 {
                let steps = steps.clone();
                drop(n.spawn(async move {
                    for _ in 0..200 {
                        checkpoint().await;
                        steps.add();
                    }
                }));
            }
        })
        .await;
        assert_eq!(steps.get(), 20_000);
    });
}

fn tree(n: Nursery<Never>, leaves: Count, depth: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return leaves.add();
        }
        for _ in 0..3 {
            drop(n.spawn(tree(n.clone(), leaves.clone(), depth - 1)));
        }
        checkpoint().await;
    })
}

#[test]
fn tasks_that_spawn_tasks() {
    on_each(ALL, async || {
        let leaves = Count::default();
        nursery(async |n| drop(n.spawn(tree(n.clone(), leaves.clone(), 8)))).await;
        assert_eq!(leaves.get(), 6561);
    });
}

#[test]
fn wakes_from_many_threads_lose_nothing() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (send, gates) = mpsc::channel::<Gate>();
        let gates = Arc::new(Mutex::new(gates));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let gates = gates.clone();
                thread::spawn(move || {
                    let next = || gates.lock().unwrap().recv();
                    while let Ok(gate) = next() {
                        gate.open();
                    }
                })
            })
            .collect();
        let steps = Count::default();
        runtime.run(nursery(async |n| {
            for _ in 0..100 {
                let (send, steps) = (send.clone(), steps.clone());
                drop(n.spawn(async move {
                    for _ in 0..50 {
                        let gate = Gate::default();
                        send.send(gate.clone()).unwrap();
                        gate.pass().await;
                        steps.add();
                    }
                }));
            }
            // Main is woken from threads, too.
            for _ in 0..50 {
                let gate = Gate::default();
                send.send(gate.clone()).unwrap();
                gate.pass().await;
            }
        }));
        drop(send);
        assert_eq!(steps.get(), 5000);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn tasks_pass_a_token_round_without_losing_it() {
    on_each(&[1, 2, 8, 16], async || {
        let gates: Arc<Vec<Gate>> = Arc::new((0..2001).map(|_| Gate::default()).collect());
        nursery(async |n| {
            for start in 0..8 {
                let gates = gates.clone();
                drop(n.spawn(async move {
                    for at in (start..2000).step_by(8) {
                        gates[at].pass().await;
                        gates[at + 1].open();
                    }
                }));
            }
            gates[0].open();
            gates[2000].pass().await;
        })
        .await;
    });
}

#[test]
fn timers_of_many_tasks_all_fire() {
    on_each(ALL, async || {
        let fired = Count::default();
        nursery(async |n| {
            for at in 0..500 {
                let fired = fired.clone();
                drop(n.spawn(async move {
                    for _ in 0..3 {
                        sleep(Duration::from_micros(at * 5)).await; // real time: it passes while they run, as no mock clock's does
                    }
                    let _ = move_on_after(Duration::from_micros(at), sleep_forever()).await;
                    fired.add();
                }));
            }
        })
        .await;
        assert_eq!(fired.get(), 500);
    });
}

#[test]
fn a_task_that_never_rests_starves_neither_timers_nor_other_threads() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let gate = Gate::default();
        let (send, begin) = mpsc::channel();
        let (opened, woken) = (gate.clone(), Flag::default());
        let opener = thread::spawn(move || {
            begin.recv().unwrap();
            opened.open();
        });
        runtime.run(nursery(async |n| {
            for _ in 0..workers + 1 {
                let woken = woken.clone();
                drop(n.spawn(async move { woken.wait().await }));
            }
            sleep(Duration::from_millis(1)).await; // real time: a mock clock stands still while tasks run
            send.send(()).unwrap();
            gate.pass().await;
            woken.set();
        }));
        opener.join().unwrap();
    }
}

#[test]
fn two_tasks_that_wake_each_other_do_not_keep_out_a_third() {
    on_each(&[1], async || {
        let (turn, third) = (Arc::new(AtomicUsize::new(0)), Flag::default());
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        nursery(async |n| {
            for me in 0..2 {
                let (turn, third, wakers) = (turn.clone(), third.clone(), wakers.clone());
                drop(n.spawn(async move {
                    poll_fn(|cx| {
                        *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                        if turn.load(Ordering::SeqCst) % 2 == me {
                            turn.fetch_add(1, Ordering::SeqCst);
                            if let Some(other) = &*wakers[1 - me].lock().unwrap() {
                                other.wake_by_ref();
                            }
                        }
                        if third.is_set() { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    if let Some(other) = &*wakers[1 - me].lock().unwrap() {
                        other.wake_by_ref();
                    }
                }));
            }
            drop(n.spawn(async move {
                a_while().await;
                third.set();
                let wake = |waker: &Mutex<Option<Waker>>| waker.lock().unwrap().take().unwrap().wake();
                wakers.iter().for_each(wake);
            }));
        })
        .await;
    });
}

#[test]
fn the_main_future_is_neither_send_nor_static() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (local, counted) = (Cell::new(0), Rc::new(RefCell::new(Vec::new())));
        let borrowed = String::from("borrowed");
        let value: &str = runtime.run(async {
            nursery(async |n| {
                for at in 0..10 {
                    let task = n.spawn(async move { Ok::<_, Never>(at) });
                    let at = task.await.unwrap();
                    counted.borrow_mut().push(at);
                    local.set(local.get() + at);
                }
                Ok::<_, Never>(())
            })
            .await
            .unwrap();
            &borrowed
        });
        assert_eq!((value, local.get(), counted.borrow().len()), ("borrowed", 45, 10));
    }
}

#[test]
fn a_runtime_runs_again_and_again_also_after_a_panic_and_on_other_threads() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for round in 0..50 {
            let run = || {
                runtime.run(nursery(async |n| {
                    let tasks: Vec<_> = (0..20).map(|at| n.spawn(async move { Ok::<_, Never>(at) })).collect();
                    let mut sum = 0;
                    for task in tasks {
                        sum += task.await.unwrap();
                    }
                    Ok::<_, Never>(sum)
                }))
            };
            assert_eq!(thread::scope(|s| s.spawn(run).join().unwrap()).unwrap(), 190);
            assert_eq!(run().unwrap(), 190);
            if round % 10 == 0 {
                assert_eq!(panic_in(|| runtime.run(async { crate::common::blow("once") })), "once");
            }
        }
    }
}

#[test]
fn two_runtimes_at_once_know_nothing_of_each_other() {
    let busy = |workers| {
        move || {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            runtime.run(nursery(async |n| {
                for _ in 0..200 {
                    drop(n.spawn(async { a_while().await }));
                }
            }));
        }
    };
    let threads = [thread::spawn(busy(2)), thread::spawn(busy(1)), thread::spawn(busy(3))];
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn tasks_of_two_runtimes_wake_each_other() {
    let there: Arc<Vec<Gate>> = Arc::new((0..500).map(|_| Gate::default()).collect());
    let back: Arc<Vec<Gate>> = Arc::new((0..500).map(|_| Gate::default()).collect());
    let (far_there, far_back) = (there.clone(), back.clone());
    let far = thread::spawn(move || {
        Runtime::builder().workers(2).build().unwrap().run(nursery(async |n| {
            drop(n.spawn(async move {
                for at in 0..500 {
                    far_there[at].pass().await;
                    far_back[at].open();
                }
            }));
        }));
    });
    Runtime::builder().workers(2).build().unwrap().run(async {
        for at in 0..500 {
            there[at].open();
            back[at].pass().await;
        }
    });
    far.join().unwrap();
}

#[test]
fn one_runtime_on_two_threads_at_once_is_refused() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (inside, leave) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            runtime.run(async {
                inside.wait();
                leave.wait();
            });
        });
        inside.wait();
        let text = panic_in(|| runtime.run(async {}));
        leave.wait();
        assert_eq!(
            text,
            "trioxide: this `Runtime` is running already, on another thread; \
             build a runtime for each thread that runs one"
        );
    });
    assert_eq!(runtime.run(async { 7 }), 7);
}

#[test]
fn threads_bear_the_name_of_the_runtime() {
    let names_of = |runtime: &Runtime| {
        let names = Arc::new(Mutex::new(HashSet::new()));
        let both = Arc::new(Barrier::new(2));
        runtime.run(nursery(async |n| {
            for _ in 0..2 {
                let (names, both) = (names.clone(), both.clone());
                drop(n.spawn(async move {
                    names.lock().unwrap().insert(thread::current().name().unwrap_or("").to_owned());
                    both.wait();
                }));
            }
            let name = trioxide_runtime::blocking(|| thread::current().name().unwrap().to_owned());
            let name = name.await;
            names.lock().unwrap().insert(name);
        }));
        Arc::into_inner(names).unwrap().into_inner().unwrap()
    };
    let main = thread::current().name().unwrap().to_owned();
    let own = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(names_of(&own), HashSet::from([main.clone(), "trioxide-1".into(), "trioxide-blocking-0".into()]));
    let named = Runtime::builder().workers(2).thread_name("rust").stack_size(1 << 20).build().unwrap();
    assert_eq!(names_of(&named), HashSet::from([main, "rust-1".into(), "rust-blocking-0".into()]));
    assert_eq!(named.workers(), 2);
}

#[test]
fn no_worker_is_left_out_when_there_is_work_for_all() {
    let runtime = Runtime::builder().workers(16).build().unwrap();
    for _ in 0..20 {
        // Each child blocks its worker until all sixteen run one.
        let all = Arc::new(Barrier::new(16));
        runtime.run(nursery(async |n| {
            for _ in 0..16 {
                let all = all.clone();
                drop(n.spawn(async move {
                    all.wait();
                }));
            }
        }));
    }
}

#[test]
fn runtimes_come_and_go() {
    for round in 0..100 {
        let runtime = Runtime::builder().workers(1 + round % 5).build().unwrap();
        if round % 3 != 0 {
            runtime.run(nursery(async |n| (0..round).for_each(|_| drop(n.spawn(checkpoint())))));
        }
    }
}

#[test]
fn a_waker_that_outlives_its_run_and_its_runtime_does_no_harm() {
    for &workers in ALL {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let keep = |kept: &Arc<Mutex<Vec<Waker>>>| {
            let kept = kept.clone();
            poll_fn(move |cx| {
                kept.lock().unwrap().push(cx.waker().clone());
                Poll::Ready(())
            })
        };
        runtime.run(async {
            keep(&kept).await;
            nursery(async |n| drop(n.spawn(keep(&kept)))).await;
            trioxide_runtime::shield(keep(&kept)).await;
        });
        kept.lock().unwrap().iter().for_each(Waker::wake_by_ref);
        runtime.run(async {
            kept.lock().unwrap().iter().for_each(Waker::wake_by_ref);
            checkpoint().await;
        });
        drop(runtime);
        for waker in kept.lock().unwrap().drain(..) {
            waker.wake_by_ref();
            let again = waker.clone();
            drop(waker);
            again.wake();
        }
    }
}

#[test]
fn a_suspended_future_goes_on_in_another_runtime_when_its_own_is_gone() {
    for &workers in ALL {
        let first = Runtime::builder().workers(workers).build().unwrap();
        let go_on = Gate::default();
        let passes = go_on.clone();
        let mut moved = Box::pin(nursery(async move |n| {
            drop(n.spawn(checkpoint()));
            passes.pass().await;
            sleep(Duration::from_millis(1)).await;
            assert_eq!(move_on_after(Duration::from_millis(1), sleep_forever()).await, None);
            let inner = nursery(async |inner| {
                let six = inner.spawn(async { Ok::<_, Never>(6) });
                Ok::<_, Never>(six.await.unwrap())
            });
            let six = inner.await.unwrap();
            Ok::<_, Never>(trioxide_runtime::blocking(move || six + 1).await)
        }));
        first.run(async { assert!(poll!(&mut moved).is_pending()) });
        drop(first);
        go_on.open();
        let second = Runtime::builder().workers(workers).clock(MockClock::autojump()).build().unwrap();
        assert_eq!(second.run(moved).unwrap(), 7);
    }
}

#[test]
fn a_waker_that_panics_is_contained() {
    struct Panics(AtomicBool);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            panic!("in a waker");
        }
    }
    on_each(ALL, async || {
        let panics = Arc::new(Panics(AtomicBool::new(false)));
        let gate = Gate::default();
        nursery(async |n| {
            let passes = gate.clone();
            let mut task = n.spawn(async move { passes.pass().await });
            let waker = Waker::from(panics.clone());
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
            gate.open();
            all_wait().await;
            assert!(panics.0.load(Ordering::SeqCst));
            task.await.unwrap();
        })
        .await;
    });
}
