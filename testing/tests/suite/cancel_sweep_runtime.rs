//! Each public async function of the runtime, cancelled and dropped at each of its suspensions: no task is left, clean-up runs, tokens come back, and nobody else hangs. All in virtual time.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::stream;
use trioxide_runtime::{
    Blocking, Borrower, CancelGroup, CancelScope, CapacityLimiter, Started, TreeVar, blocking, blocking_limiter,
    checkpoint, fail_after, fail_at, finally, finally_within, join, local_nursery, local_nursery_send, move_on_after,
    move_on_at, move_on_when, now, nursery, nursery_with, parallel, race, shield, sleep, sleep_forever, sleep_until,
    stopping, task_local, try_join, until_stopping,
};
use trioxide_testing::{Cut, cancel_everywhere, wait_all_tasks_blocked};

const MOMENT: Duration = Duration::from_millis(1);

/// What children have done.
#[derive(Clone, Default)]
struct Account(Arc<Counts>);

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    begun: AtomicUsize,
    cleaned: AtomicUsize,
}

struct Alive(Account);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Relaxed);
    }
}

impl Account {
    /// A child that waits, and has clean-up that waits.
    async fn child(self) {
        self.0.alive.fetch_add(1, Relaxed);
        let alive = Alive(self);
        let account = &alive.0.0;
        let body = async {
            account.begun.fetch_add(1, Relaxed);
            sleep(MOMENT).await;
            checkpoint().await;
        };
        finally(body, async {
            sleep(MOMENT).await;
            account.cleaned.fetch_add(1, Relaxed);
        })
        .await
    }

    /// Every child has ended, with its clean-up.
    fn check<T>(&self, cut: &Cut<T>) {
        self.check_ended(cut);
        assert_eq!(self.0.begun.load(Relaxed), self.0.cleaned.load(Relaxed), "{cut}: clean-up");
    }

    fn check_ended<T>(&self, cut: &Cut<T>) {
        assert_eq!(self.0.alive.load(Relaxed), 0, "{cut}: children");
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Relaxed)
    }
}

/// For what starts children that are tasks: they clean up whatever becomes of the one that waits for them.
fn children_clean_up<T>(body: impl AsyncFn(&Account) -> T) {
    let runs = cancel_everywhere(async |_| Account::default(), body, async |account, cut| account.check(cut));
    assert!(runs > 40, "{runs}");
}

/// For what runs futures in the same task: they are dropped with it.
fn parts_end<T>(body: impl AsyncFn(&Account) -> T) {
    let check = async |account: &Account, cut: &Cut<T>| {
        if cut.is_drop() {
            account.check_ended(cut);
        } else {
            account.check(cut);
        }
    };
    let runs = cancel_everywhere(async |_| Account::default(), body, check);
    assert!(runs > 40, "{runs}");
}

#[test]
fn nurseries() {
    children_clean_up(async |account| {
        nursery(async |n| {
            for _ in 0..2 {
                n.spawn(account.clone().child());
            }
            checkpoint().await;
        })
        .await;
    });
    children_clean_up(async |account| {
        nursery_with(account.clone(), async |s| {
            for _ in 0..2 {
                s.spawn(Account::clone(&s).child());
            }
            checkpoint().await;
        })
        .await;
    });
}

#[test]
fn local_nurseries() {
    parts_end(async |account| {
        local_nursery(async |n| {
            for _ in 0..2 {
                n.spawn(account.clone().child());
            }
            checkpoint().await;
        })
        .await;
    });
    parts_end(async |account| {
        local_nursery_send(async |n| {
            n.spawn(account.clone().child());
            account.clone().child().await;
        })
        .await;
    });
}

#[test]
fn tasks_are_waited_for() {
    cancel_everywhere(
        async |n| {
            let (account, task) = (Account::default(), Cell::new(None));
            task.set(Some(n.spawn(account.clone().child())));
            (account, task)
        },
        async |(_, task)| task.take().unwrap().await.unwrap(),
        // The child does not care who waits for it.
        async |(account, _), cut| {
            account.check(cut);
            assert_eq!(account.begun(), 1);
        },
    );
}

#[test]
fn start() {
    let child = |account: &Account| {
        let account = account.clone();
        move |started: Started<u32>| async move {
            sleep(MOMENT).await;
            started.set(7);
            account.child().await;
        }
    };
    let check = async |account: &Account, cut: &Cut<u32>| {
        account.check(cut);
        // Once it was ready it is the nursery's.
        if cut.outcome().is_some() {
            assert_eq!((account.begun(), cut.outcome()), (1, Some(&7)), "{cut}");
        }
    };
    cancel_everywhere(
        async |n| (n.clone(), Account::default()),
        async |(n, account)| n.start(child(account)).await.unwrap(),
        async |(_, account), cut| check(account, cut).await,
    );
    cancel_everywhere(
        async |n| (n.clone(), Account::default()),
        async |(n, account)| n.task("named").start(child(account)).await.unwrap(),
        async |(_, account), cut| check(account, cut).await,
    );
    children_clean_up(async |account| {
        nursery_with(account.clone(), async |s| {
            let child = Account::clone(&s).child();
            let ready = s.start(async move |started: Started<u32>| {
                checkpoint().await;
                started.set(7);
                child.await;
            });
            assert_eq!(ready.await.unwrap(), 7);
        })
        .await;
    });
}

#[test]
fn spawning_with_a_limit() {
    cancel_everywhere(
        async |n| {
            let (limited, account) = (n.limit(1), Account::default());
            limited.try_spawn(account.clone().child()).ok().unwrap();
            (limited, account)
        },
        async |(limited, account)| {
            for _ in 0..2 {
                limited.spawn(account.clone().child()).await;
            }
        },
        async |(limited, account), cut| {
            account.check(cut);
            assert_eq!(limited.limiter().statistics().borrowed, 0, "{cut}: a slot");
            assert!(cut.outcome().is_none() || account.begun() == 3);
        },
    );
}

#[test]
fn limiters() {
    let runs = cancel_everywhere(
        async |n| {
            let limiter = Arc::new(CapacityLimiter::new(1));
            let other = limiter.clone();
            n.spawn(async move {
                for _ in 0..2 {
                    let _token = other.acquire().await;
                    sleep(MOMENT).await;
                }
            });
            limiter
        },
        async |limiter| {
            drop(limiter.acquire().await);
            drop(limiter.clone().acquire_owned().await);
            let _token = limiter.acquire_for(Borrower::new()).await.unwrap();
            sleep(MOMENT).await;
        },
        async |limiter, cut| {
            let statistics = limiter.statistics();
            assert_eq!((statistics.borrowed, statistics.tasks_waiting), (0, 0), "{cut}");
            drop(limiter.try_acquire().unwrap());
        },
    );
    assert!(runs > 40, "{runs}");
}

#[test]
fn parallel_functions() {
    let child = |account: &Account| account.clone().child();
    children_clean_up(async |account| parallel::join((child(account), child(account))).await);
    children_clean_up(async |account| {
        let failing = async {
            sleep(MOMENT).await;
            Err::<(), _>("no")
        };
        let ok = child(account);
        let ok = async {
            ok.await;
            Ok(())
        };
        assert!(parallel::try_join((failing, ok)).await.is_err());
    });
    children_clean_up(async |account| parallel::race((child(account), child(account))).await);
    children_clean_up(async |account| parallel::race_all([child(account), child(account)]).await);
    children_clean_up(async |account| parallel::map(0..3, 2, |_| child(account)).await);
    children_clean_up(async |account| {
        parallel::try_map(0..3, 2, |item| {
            let child = child(account);
            async move {
                child.await;
                if item < 1 { Ok(item) } else { Err("no") }
            }
        })
        .await
    });
    children_clean_up(async |account| {
        parallel::for_each(0..3, 2, |_| child(account)).await;
    });
    children_clean_up(async |account| {
        parallel::try_for_each(0..3, 2, |_| {
            let child = child(account);
            async move {
                child.await;
                Err::<(), _>("no")
            }
        })
        .await
    });
}

#[test]
fn parallel_streams() {
    children_clean_up(async |account| {
        let doubled = parallel::ordered(
            stream::iter(0..4),
            2,
            |_| account.clone().child(),
            async |mut values| {
                let mut count = 0;
                while values.next().await.is_some() {
                    count += 1;
                }
                count
            },
        );
        doubled.await
    });
    children_clean_up(async |account| {
        let first = parallel::completed(
            stream::iter(0..4),
            2,
            |_| account.clone().child(),
            async |mut values| values.next().await,
        );
        assert_eq!(first.await, Some(()));
    });
}

#[test]
fn blocking_calls() {
    struct State {
        limiter: Arc<CapacityLimiter>,
        usual: Arc<CapacityLimiter>,
        begun: Arc<AtomicUsize>,
    }
    cancel_everywhere(
        async |n| {
            let limiter = Arc::new(CapacityLimiter::new(1));
            let other = limiter.clone();
            n.spawn(async move { Blocking::new().limiter(&other).run(|| ()).await });
            State { limiter, usual: blocking_limiter(), begun: Arc::default() }
        },
        async |state| {
            let count = || {
                let begun = state.begun.clone();
                move || begun.fetch_add(1, Relaxed)
            };
            assert_eq!(blocking(count()).await, 0);
            assert_eq!(Blocking::new().limiter(&state.limiter).run(count()).await, 1);
            assert_eq!(Blocking::new().abandon_on_cancel().run(count()).await, 2);
        },
        async |state, cut| {
            assert_eq!((state.limiter.statistics().borrowed, state.usual.statistics().borrowed), (0, 0), "{cut}");
            let begun = state.begun.load(Relaxed);
            assert!(begun == 3 || (begun < 3 && cut.outcome().is_none()), "{cut}: {begun}");
        },
    );
}

#[test]
fn scopes() {
    parts_end(async |account| CancelScope::new().run(account.clone().child()).await.is_ok());
    parts_end(async |account| CancelGroup::new().run(account.clone().child()).await.is_ok());
    parts_end(async |account| move_on_after(MOMENT, account.clone().child()).await);
    parts_end(async |account| move_on_at(now() + MOMENT, account.clone().child()).await);
    parts_end(async |account| fail_after(MOMENT, account.clone().child()).await.is_ok());
    parts_end(async |account| fail_at(now() + 2 * MOMENT, account.clone().child()).await.is_ok());
    parts_end(async |account| move_on_when(sleep(MOMENT), account.clone().child()).await);
    parts_end(async |account| until_stopping(account.clone().child()).await);
    parts_end(async |account| {
        nursery(async |n| {
            n.spawn(async { stopping().await });
            n.stop(MOMENT);
            account.clone().child().await;
        })
        .await;
    });
}

#[test]
fn shields_are_waited_for() {
    cancel_everywhere(
        async |_| (Account::default(), Cell::new(false)),
        async |(account, over)| {
            shield(account.clone().child()).await;
            over.set(true);
            checkpoint().await;
        },
        async |(account, over), cut| {
            if cut.is_drop() {
                account.check_ended(cut);
            } else {
                account.check(cut);
                // What has begun goes on to its end.
                assert!(over.get() || account.begun() == 0, "{cut}");
            }
        },
    );
}

#[test]
fn clean_up_runs_once() {
    let cleaned_once = async |cleaned: &Cell<u32>, cut: &Cut<()>| {
        if !cut.is_drop() {
            assert_eq!(cleaned.get(), 1, "{cut}");
        }
        assert!(cleaned.get() <= 1);
    };
    let clean = async |cleaned: &Cell<u32>| {
        sleep(MOMENT).await;
        cleaned.set(cleaned.get() + 1);
    };
    cancel_everywhere(
        async |_| Cell::new(0),
        async |cleaned| finally(sleep(MOMENT), clean(cleaned)).await,
        cleaned_once,
    );
    cancel_everywhere(
        async |_| Cell::new(0),
        async |cleaned| finally_within(10 * MOMENT, sleep(MOMENT), clean(cleaned)).await,
        cleaned_once,
    );
}

#[test]
fn who_waits_for_the_end_of_a_scope() {
    cancel_everywhere(
        async |n| {
            let (account, scope) = (Account::default(), CancelScope::new());
            let (handle, child) = (scope.handle(), account.clone());
            n.spawn(async move { drop(scope.run(child.child()).await) });
            (account, handle)
        },
        async |(account, handle)| {
            checkpoint().await;
            handle.cancel_and_wait("the test wants it").await;
            assert_eq!(account.0.alive.load(Relaxed), 0);
            handle.ended().await;
        },
        async |(account, _), cut| account.check(cut),
    );
}

#[test]
fn several_in_one_task() {
    parts_end(async |account| join!(account.clone().child(), account.clone().child()));
    parts_end(async |account| {
        let failing = async {
            sleep(MOMENT).await;
            Err::<(), _>("no")
        };
        let ok = async {
            account.clone().child().await;
            Ok(())
        };
        try_join!(ok, failing)
    });
    parts_end(async |account| race!(account.clone().child(), sleep(MOMENT)));
}

#[test]
fn time() {
    cancel_everywhere(
        async |_| Cell::new(Duration::ZERO),
        async |slept| {
            let start = now();
            sleep(MOMENT).await;
            sleep_until(start + 2 * MOMENT).await;
            move_on_after(MOMENT, sleep_forever()).await;
            slept.set(now() - start);
        },
        async |slept, cut| assert_eq!(slept.get(), if cut.outcome().is_some() { 3 * MOMENT } else { Duration::ZERO }),
    );
}

#[test]
fn errors_of_children_come_out_or_are_cut_with_the_nursery() {
    cancel_everywhere(
        async |_| Account::default(),
        async |account| {
            let failed = nursery(async |n| {
                let child = account.clone().child();
                n.spawn(async move {
                    child.await;
                    Err::<Infallible, _>("no")
                });
                n.spawn(async {
                    sleep_forever().await;
                    Ok::<_, &str>(())
                });
                Ok::<_, &str>(())
            });
            failed.await.unwrap_err().to_string()
        },
        async |account, cut| {
            account.check(cut);
            // The error of a child that was done when the cancel came is delivered.
            assert!(cut.outcome().is_none_or(|error| error.contains("no")), "{cut}: {:?}", cut.outcome());
        },
    );
}

/// What was bound ends with what it was bound for, and is dropped.
#[test]
fn values_of_a_place() {
    task_local! {
        static LOCAL: Arc<Alive>;
    }
    static TREE: TreeVar<Arc<Alive>> = TreeVar::new("TREE");
    let bound = |account: &Account| {
        account.0.alive.fetch_add(1, Relaxed);
        Arc::new(Alive(account.clone()))
    };
    let inside = async |account: &Account| {
        account.clone().child().await;
        assert!(LOCAL.try_get().is_some() || TREE.try_get().is_some());
    };
    parts_end(async |account| LOCAL.scope(bound(account), inside(account)).await);
    parts_end(async |account| TREE.scope(bound(account), inside(account)).await);
}

/// Others wait for the same, and are told.
#[test]
fn when_all_is_blocked() {
    let runs = cancel_everywhere(
        async |n| {
            let told = Arc::new(AtomicUsize::new(0));
            for _ in 0..2 {
                let told = told.clone();
                n.spawn(async move {
                    wait_all_tasks_blocked(MOMENT).await;
                    told.fetch_add(1, Relaxed);
                });
            }
            told
        },
        async |_| {
            wait_all_tasks_blocked(Duration::ZERO).await;
            wait_all_tasks_blocked(2 * MOMENT).await;
        },
        async |told, cut| assert_eq!(told.load(Relaxed), 2, "{cut}"),
    );
    assert!(runs > 40, "{runs}");
}
