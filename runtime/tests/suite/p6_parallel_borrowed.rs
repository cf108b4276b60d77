//! Promise 6: children of `nursery_with` run on any worker and borrow from what the nursery owns.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::common::{ALL, Count, Flag, Never, SetOnDrop, a_while, all_wait, blow, errors, panic_of};
use futures_util::future::select;
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, Nursery, NurseryError, Runtime, Scope, Started, checkpoint, nursery, nursery_with, shield,
    sleep_forever,
};
use trioxide_testing::{CountDrops, DropGuard, on_each};

#[test]
fn children_on_several_workers_borrow_from_one_vector() {
    on_each(ALL, async || {
        let env = ((0..1000).collect::<Vec<u64>>(), AtomicU64::new(0));
        let total = nursery_with(env, async |s| {
            let (numbers, total) = s.env();
            for chunk in numbers.chunks(100) {
                drop(s.spawn(async move {
                    for number in chunk {
                        checkpoint().await;
                        total.fetch_add(*number, Ordering::Relaxed);
                    }
                }));
            }
            all_wait().await;
            assert_eq!(s.nursery().len(), 0);
            Ok::<_, Never>(s.1.load(Ordering::Relaxed))
        });
        assert_eq!(total.await.unwrap(), 499_500);
    });
}

#[test]
fn two_children_run_at_the_same_time() {
    for workers in [2, 8] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let threads = runtime.run(nursery_with((Barrier::new(2), Mutex::new(Vec::new())), async |s| {
            let (both, threads) = s.env();
            // Each blocks its worker until the other has come.
            let meet = || async {
                both.wait();
                threads.lock().unwrap().push(thread::current().id());
            };
            let (one, other) = (s.spawn(meet()), s.spawn(meet()));
            let _ = (one.await, other.await);
            Ok::<_, Never>(mem::take(&mut *threads.lock().unwrap()))
        }));
        let threads = threads.unwrap();
        assert_eq!(threads.len(), 2);
        assert_ne!(threads[0], threads[1]);
    }
}

#[test]
fn a_value_that_borrows_comes_back_through_the_task() {
    on_each(ALL, async || {
        let words = String::from("one two three");
        let longest = nursery_with(words, async |s| {
            let tasks: Vec<_> =
                s.env().split(' ').map(|word| s.spawn(async move { Ok::<&str, Never>(word) })).collect();
            let mut longest = "";
            for task in tasks {
                let word = task.await.unwrap();
                longest = if word.len() > longest.len() { word } else { longest };
            }
            Ok::<_, Never>(longest.to_owned())
        });
        assert_eq!(longest.await.unwrap(), "three");
    });
}

#[test]
fn children_spawn_children_that_borrow() {
    on_each(ALL, async || {
        type Growing<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;
        fn grow<'s>(s: Scope<'s, AtomicUsize, Never>, depth: usize) -> Growing<'s> {
            Box::pin(async move {
                s.env().fetch_add(1, Ordering::SeqCst);
                if depth > 0 {
                    (0..2).for_each(|_| drop(s.spawn(grow(s.clone(), depth - 1))));
                }
            })
        }
        let grown = nursery_with(AtomicUsize::new(0), async |s| {
            drop(s.spawn(grow(s.clone(), 6)));
            all_wait().await;
            assert_eq!(s.nursery().len(), 0);
            Ok::<_, Never>(s.env().load(Ordering::SeqCst))
        });
        assert_eq!(grown.await.unwrap(), 127);
    });
}

/// What a nursery lends, and what says when it is dropped: `live` children borrow it then.
struct Env {
    live: AtomicUsize,
    live_at_drop: Arc<Mutex<Option<usize>>>,
    _guard: DropGuard,
}

impl Drop for Env {
    fn drop(&mut self) {
        *self.live_at_drop.lock().unwrap() = Some(self.live.load(Ordering::SeqCst));
    }
}

struct Borrowed<'a>(&'a Env);

impl<'a> Borrowed<'a> {
    fn from(env: &'a Env) -> Self {
        env.live.fetch_add(1, Ordering::SeqCst);
        Self(env)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Watch {
    drops: CountDrops,
    live_at_drop: Arc<Mutex<Option<usize>>>,
}

impl Watch {
    fn new() -> (Self, Env) {
        let watch = Self { drops: CountDrops::new(), live_at_drop: Arc::default() };
        let (guard, live_at_drop) = (watch.drops.guard(), watch.live_at_drop.clone());
        (watch, Env { live: AtomicUsize::new(0), live_at_drop, _guard: guard })
    }

    fn check_dropped_once_after_the_last_child(&self) {
        assert_eq!((self.drops.made(), self.drops.dropped()), (1, 1));
        assert_eq!(*self.live_at_drop.lock().unwrap(), Some(0));
    }
}

/// Spawns children that borrow and hold out for a while although they are cancelled.
fn spawn_borrowers<'s>(s: &Scope<'s, Env, Never>, count: usize) {
    let env = s.env();
    for _ in 0..count {
        drop(s.spawn(async move {
            let _borrowed = Borrowed::from(env);
            trioxide_runtime::finally(sleep_forever(), async {
                a_while().await;
                assert!(env.live.load(Ordering::SeqCst) > 0);
            })
            .await;
        }));
    }
}

#[test]
fn what_was_lent_is_dropped_after_the_last_child_of_a_nursery_that_is_cancelled() {
    on_each(ALL, async || {
        let (watch, env) = Watch::new();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let running = nursery_with(env, async |s| {
            spawn_borrowers(&s, 20);
            all_wait().await;
            assert_eq!(s.live.load(Ordering::SeqCst), 20);
            handle.cancel("enough");
            let _borrowed = Borrowed::from(s.env());
            sleep_forever().await;
        });
        assert!(scope.run(running).await.is_err());
        watch.check_dropped_once_after_the_last_child();
    });
}

#[test]
fn what_was_lent_is_dropped_after_the_last_child_of_a_nursery_whose_future_was_dropped() {
    on_each(ALL, async || {
        let (watch, env) = Watch::new();
        nursery(async |n| {
            let task = n.spawn(async move {
                let started = Flag::default();
                let running = nursery_with(env, async |s| {
                    spawn_borrowers(&s, 20);
                    let _borrowed = Borrowed::from(s.env());
                    all_wait().await;
                    assert_eq!(s.live.load(Ordering::SeqCst), 21);
                    started.set();
                    sleep_forever().await;
                });
                let _ = select(pin!(running), pin!(started.wait())).await;
            });
            task.await.unwrap();
            watch.check_dropped_once_after_the_last_child();
        })
        .await;
    });
}

#[test]
fn what_was_lent_outlives_the_children_of_a_nursery_whose_future_was_forgotten() {
    on_each(ALL, async || {
        for body_ends in [false, true] {
            let (watch, env) = Watch::new();
            let (release, ran_on) = (crate::common::Gate::default(), Count::default());
            nursery(async |n| {
                let lost = Flag::default();
                let (tell, gate, count) = (lost.clone(), release.clone(), ran_on.clone());
                let task = n.spawn(async move {
                    let mut running = Box::pin(nursery_with(env, async move |s| {
                        let env = s.env();
                        for _ in 0..20 {
                            let (gate, count) = (gate.clone(), count.clone());
                            drop(s.spawn(async move {
                                let _borrowed = Borrowed::from(env);
                                gate.pass().await;
                                assert!(env.live.load(Ordering::SeqCst) > 0);
                                count.add();
                            }));
                        }
                        if !body_ends {
                            sleep_forever().await;
                        }
                    }));
                    assert!(poll!(&mut running).is_pending());
                    mem::forget(running);
                    tell.set();
                });
                lost.wait().await;
                a_while().await;
                assert_eq!(watch.drops.dropped(), 0);
                release.open();
                task.await.unwrap();
            })
            .await;
            assert_eq!(ran_on.get(), 20);
            // The forgotten body keeps its own reference for ever.
            assert_eq!(watch.drops.dropped(), 0);
        }
    });
}

#[test]
fn a_panic_or_an_error_of_a_child_that_borrows_comes_out() {
    on_each(ALL, async || {
        let (watch, env) = Watch::new();
        let panic = panic_of(nursery_with(env, async |s| {
            spawn_borrowers(&s, 10);
            let env = s.env();
            drop(s.spawn(async move {
                let _borrowed = Borrowed::from(env);
                checkpoint().await;
                blow("borrower");
            }));
            sleep_forever().await;
        }));
        assert_eq!(panic.await, "borrower");
        watch.check_dropped_once_after_the_last_child();
        let joined = nursery_with(vec!["a", "b"], async |s| {
            let words = s.env();
            drop(s.spawn(async move { Err::<(), _>(words[1]) }));
            sleep_forever().await;
            Ok::<Never, &str>(unreachable_value())
        });
        assert_eq!(errors(joined.await), ["b"]);
    });
}

fn unreachable_value() -> Never {
    unreachable!("cut before this")
}

#[test]
fn a_panic_in_the_drop_of_what_was_lent_comes_out() {
    on_each(ALL, async || {
        let panic = panic_of(nursery_with(crate::common::PanicOnDrop("lent"), async |s| {
            drop(s.spawn(checkpoint()));
        }));
        assert_eq!(panic.await, "lent");
    });
}

#[test]
fn a_nursery_that_lends_inside_one_that_lends() {
    on_each(ALL, async || {
        let (outer_watch, outer_env) = Watch::new();
        let inner_drops = CountDrops::new();
        nursery_with(outer_env, async |outer| {
            let outer_env = outer.env();
            for _ in 0..5 {
                let guard = inner_drops.guard();
                drop(outer.spawn(async move {
                    let _borrowed = Borrowed::from(outer_env);
                    let sum = nursery_with(([1_u64, 2, 3], guard), async |inner| {
                        let (numbers, _guard) = inner.env();
                        let tasks: Vec<_> = numbers
                            .iter()
                            .map(|number| inner.spawn(async move { Ok::<_, Never>(number * 2) }))
                            .collect();
                        let mut sum = 0;
                        for task in tasks {
                            sum += task.await.unwrap();
                        }
                        Ok::<_, Never>(sum)
                    });
                    assert_eq!(sum.await.unwrap(), 12);
                }));
            }
        })
        .await;
        assert_eq!(inner_drops.dropped(), 5);
        outer_watch.check_dropped_once_after_the_last_child();
    });
}

#[test]
fn the_plain_nursery_inside_takes_children_that_own_what_they_use() {
    on_each(ALL, async || {
        let ended = Arc::new(AtomicUsize::new(0));
        nursery_with(ended.clone(), async |s| {
            let n: &Nursery<Never> = s.nursery();
            let ended = s.env().clone();
            drop(n.spawn(shield(async move {
                a_while().await;
                ended.fetch_add(1, Ordering::SeqCst);
            })));
        })
        .await;
        assert_eq!((ended.load(Ordering::SeqCst), Arc::strong_count(&ended)), (1, 1));
    });
}

#[test]
fn a_nursery_that_lends_runs_inside_a_child() {
    on_each(ALL, async || {
        let gone = Flag::default();
        let env = SetOnDrop(gone.clone());
        nursery(async |n| {
            let task = n.spawn(nursery_with(env, async |s| drop(s.spawn(checkpoint()))));
            task.await.unwrap();
            assert!(gone.is_set());
        })
        .await;
    });
}

#[test]
fn named_children_borrow_too() {
    on_each(ALL, async || {
        let outcome = nursery_with(Flag::default(), async |s| {
            let flag = s.env();
            s.task("server").service().spawn(async move {
                flag.set();
                sleep_forever().await;
                Ok::<(), &str>(())
            });
            let ready = s.task("starter").start(async move |started: Started<&Flag>| {
                started.set(flag);
                flag.wait().await;
                Err::<(), _>("no luck")
            });
            assert!(ready.await.is_ok());
            Ok::<_, &str>(())
        });
        let Err(NurseryError::Failed(group)) = outcome.await else { panic!("it should have failed") };
        assert!(group.to_string().contains("\"starter\""), "{group}");
    });
}
