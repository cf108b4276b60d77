//! `parallel`: many futures at once on all workers, with a limit, waited for.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, SetOnDrop, a_while, all_wait, blow, hold, panic_in, panic_of, until};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt, stream};
use trioxide_runtime::{
    CancelScope, ErrorGroup, checkpoint, finally, move_on_after, parallel, run, shield, sleep, sleep_forever,
};
use trioxide_testing::{CountDrops, on_each, on_each_with_clock};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a clean-up of several polls when it is cut.
async fn unwinds_slowly(cleaned: Count) {
    finally(sleep_forever(), async {
        a_while().await;
        cleaned.add();
    })
    .await;
}

/// How many are inside at once, and how many were at most.
#[derive(Clone, Default)]
struct Inside(Arc<(AtomicUsize, AtomicUsize)>);

impl Inside {
    async fn during<T>(self, future: impl Future<Output = T>) -> T {
        let now = self.0.0.fetch_add(1, SeqCst) + 1;
        self.0.1.fetch_max(now, SeqCst);
        let value = future.await;
        self.0.0.fetch_sub(1, SeqCst);
        value
    }

    fn most(&self) -> usize {
        self.0.1.load(SeqCst)
    }
}

/// The errors, sorted.
fn errors<E: Ord>(group: ErrorGroup<E>) -> Vec<E> {
    let mut errors: Vec<E> = group.into_iter().collect();
    errors.sort();
    errors
}

#[test]
fn map_gives_the_values_in_the_order_of_the_items() {
    on_each_with_clock(ALL, async |clock| {
        let offsets = [5, 3, 4, 1, 2];
        let values = parallel::map(offsets.iter(), usize::MAX, |&seconds| async move {
            sleep(seconds * SECOND).await;
            seconds
        });
        assert_eq!(values.await, offsets);
        assert_eq!(clock.elapsed(), 5 * SECOND);
        assert_eq!(parallel::map(0..0, 1, ready).await, [] as [i32; 0]);
        assert_eq!(parallel::map(0..1000, 7, ready).await, (0..1000).collect::<Vec<_>>());
    });
}

#[test]
fn no_more_than_the_limit_run_at_once() {
    on_each_with_clock(ALL, async |clock| {
        for limit in [1, 3, 10] {
            let inside = Inside::default();
            let begun = clock.elapsed();
            parallel::for_each(0..30, limit, |_| inside.clone().during(sleep(SECOND))).await;
            assert_eq!(inside.most(), limit);
            assert_eq!(clock.elapsed() - begun, 30 / u32::try_from(limit).unwrap() * SECOND, "and none is idle");
        }
    });
}

#[test]
fn items_are_asked_for_when_there_is_room() {
    on_each(ALL, async || {
        let (asked, gate) = (Cell::new(0), Gate::default());
        let items = (0..5).inspect(|_| asked.set(asked.get() + 1));
        let all = parallel::for_each(items, 2, |_| {
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        match select(pin!(all), pin!(a_while())).await {
            Either::Left(_) => unreachable!("the gate is closed"),
            Either::Right(((), all)) => {
                assert_eq!(asked.get(), 2);
                gate.open();
                all.await;
            }
        }
        assert_eq!(asked.get(), 5);
    });
}

#[test]
fn a_limit_of_nothing_is_a_mistake() {
    let text = panic_in(|| parallel::map(0..1, 0, ready));
    assert!(text.contains("`parallel::map` with a limit of 0 would never begin"), "{text}");
    let text = panic_in(|| parallel::ordered(stream::iter(0..1), 0, ready, async |_| ()));
    assert!(text.contains("`parallel::ordered` with a limit of 0"), "{text}");
    let text = panic_in(|| run(parallel::race_all(Vec::<std::future::Ready<()>>::new())));
    assert!(text.contains("`parallel::race_all` of nothing never ends"), "{text}");
}

#[test]
fn the_first_error_stops_the_rest_and_all_errors_come_out() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let outcome = parallel::try_map(0..4, 4, |number| {
            let cleaned = cleaned.clone();
            async move {
                match number {
                    0 => unwinds_slowly(cleaned).await,
                    1 => shield(until(|| cleaned.get() == 1)).await, // Ends after the cancel, and fails.
                    2 => return Ok(2),
                    _ => a_while().await,
                }
                Err(number)
            }
        });
        let group = outcome.await.unwrap_err();
        let sites = group.failures().iter().map(|failure| failure.origin.spawned_at().unwrap().file());
        assert!(sites.collect::<Vec<_>>().iter().all(|file| file.ends_with("parallel.rs")));
        assert_eq!(errors(group), [1, 3]);
        assert_eq!(cleaned.get(), 1);
        let rest = parallel::try_for_each(0.., 2, |number| ready(if number == 100 { Err(number) } else { Ok(()) }));
        assert_eq!(rest.await.unwrap_err().into_first(), 100);
        let outcome: Result<Vec<_>, ErrorGroup<()>> = parallel::try_map(0..3, 2, async |n| Ok(n)).await;
        assert_eq!(outcome.unwrap(), [0, 1, 2]);
    });
}

#[test]
fn panics_come_out_when_the_rest_has_unwound() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let in_a_future = parallel::for_each(0..3, 3, |number| {
            let cleaned = cleaned.clone();
            async move {
                a_while().await;
                if number == 1 {
                    blow("in a future");
                }
                unwinds_slowly(cleaned).await;
            }
        });
        assert_eq!(panic_of(in_a_future).await, "in a future");
        let in_f = parallel::map(0..3, 3, |number| {
            if number == 2 {
                blow("in f");
            }
            unwinds_slowly(cleaned.clone())
        });
        assert_eq!(panic_of(in_f).await, "in f");
        let in_the_items = parallel::map((0..3).inspect(|_| blow("in the items")), 3, ready);
        assert_eq!(panic_of(in_the_items).await, "in the items");
    });
}

#[test]
fn cancelled_it_waits_for_every_clean_up() {
    on_each_with_clock(ALL, async |clock| {
        let cleaned = Count::default();
        let slow = |cleaned: Count| {
            finally(sleep_forever(), async move {
                sleep(SECOND).await;
                cleaned.add();
            })
        };
        let all = parallel::map(0..9, 3, |_| slow(cleaned.clone()));
        assert!(move_on_after(SECOND, all).await.is_none());
        assert_eq!((cleaned.get(), clock.elapsed()), (3, 2 * SECOND));
        let both = parallel::join((slow(cleaned.clone()), slow(cleaned.clone())));
        assert!(move_on_after(SECOND, both).await.is_none());
        let race = parallel::race((slow(cleaned.clone()), slow(cleaned.clone())));
        assert!(move_on_after(SECOND, race).await.is_none());
        assert_eq!((cleaned.get(), clock.elapsed()), (7, 6 * SECOND));
        let stream = stream::iter(0..9);
        let results = parallel::completed(stream, 3, |_| slow(cleaned.clone()), async |mut values| values.next().await);
        assert!(move_on_after(SECOND, results).await.is_none());
        assert_eq!((cleaned.get(), clock.elapsed()), (10, 8 * SECOND));
    });
}

#[test]
fn what_is_complete_is_delivered_in_a_cancelled_scope() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(parallel::map(0..2, 2, |number| {
            let handle = handle.clone();
            async move {
                shield(a_while()).await;
                handle.cancel("both have their values all the same");
                number
            }
        }));
        assert_eq!(outcome.await.unwrap(), [0, 1]);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let cleaned = Count::default();
        let winner = async move {
            handle.cancel("the loser is cut, the winner has won");
            "won"
        };
        let loser = {
            let cleaned = cleaned.clone();
            async move {
                unwinds_slowly(cleaned).await;
                "lost"
            }
        };
        assert_eq!(scope.run(parallel::race((loser, winner))).await.unwrap(), "won");
    });
}

#[test]
fn join_gives_values_of_all_types() {
    on_each(ALL, async || {
        let (number, text, unit) = parallel::join((async { 1 }, ready("two"), a_while())).await;
        assert_eq!((number, text, unit), (1, "two", ()));
        assert_eq!(parallel::try_join((async { Ok::<_, ()>(1) }, ready(Ok("two")))).await.unwrap(), (1, "two"));
        let cleaned = Count::default();
        let waits = {
            let cleaned = cleaned.clone();
            async move {
                unwinds_slowly(cleaned).await;
                Ok(())
            }
        };
        let fails = async {
            a_while().await;
            Err::<(), _>("failed")
        };
        assert_eq!(parallel::try_join((waits, fails)).await.unwrap_err().into_first(), "failed");
        assert_eq!(cleaned.get(), 1);
        let panics = parallel::join((unwinds_slowly(cleaned.clone()), async {
            a_while().await;
            blow("panicked");
        }));
        assert_eq!(panic_of(panics).await, "panicked");
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn races_in_a_loop_starve_nobody() {
    on_each(ALL, async || {
        let (mut of_tuple, mut of_all) = ([0; 3], [0; 3]);
        for _ in 0..200 {
            of_tuple[parallel::race((ready(0), ready(1), ready(2))).await] += 1;
            of_all[parallel::race_all((0..3).map(ready)).await] += 1;
        }
        assert!(of_tuple.iter().chain(&of_all).all(|&won| won > 10), "{of_tuple:?} {of_all:?}");
    });
}

#[test]
fn race_gives_the_first_value_when_the_losers_have_unwound() {
    on_each(ALL, async || {
        let (cleaned, begun) = (Count::default(), Count::default());
        let slow = |number| {
            let (cleaned, begun) = (cleaned.clone(), begun.clone());
            async move {
                if number == 7 {
                    all_wait().await;
                    assert_eq!(begun.get(), 9);
                } else {
                    let clean_up = async { cleaned.add() };
                    begun.add();
                    finally(sleep_forever(), clean_up).await;
                }
                number
            }
        };
        assert_eq!(parallel::race_all((0..10).map(slow)).await, 7);
        assert_eq!((cleaned.get(), begun.get()), (9, 9));
        let loser = finally(sleep_forever(), async { blow("a loser") });
        assert_eq!(panic_of(parallel::race((loser, a_while()))).await, "a loser");
        for _ in 0..100 {
            assert!(parallel::race((ready(1), ready(2), async { 3 })).await < 4);
        }
    });
}

#[test]
fn dropped_or_forgotten_it_stays_within_its_task() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let all = parallel::map(0..4, 2, |_| hold(drops.guard()));
        match select(Box::pin(all), pin!(a_while())).await {
            Either::Left(_) => unreachable!("nothing in it ends"),
            Either::Right(((), all)) => drop(all),
        }
        all_wait().await;
        assert_eq!(drops.dropped(), 2);
        let ended = Flag::default();
        let gate = Gate::default();
        let forgotten = {
            let (gate, ended) = (gate.clone(), ended.clone());
            parallel::join((async move {
                let _ended = SetOnDrop(ended);
                gate.pass().await;
            },))
        };
        match select(Box::pin(forgotten), pin!(a_while())).await {
            Either::Left(_) => unreachable!("the gate is closed"),
            Either::Right(((), forgotten)) => std::mem::forget(forgotten),
        }
        gate.open();
        ended.wait().await;
    });
}

#[test]
fn ordered_gives_the_values_in_the_order_of_the_items() {
    on_each_with_clock(ALL, async |clock| {
        let times = stream::iter([3, 1, 2, 5, 4]);
        let sleeps = async |seconds: u32| {
            sleep(seconds * SECOND).await;
            seconds
        };
        let values = parallel::ordered(times.clone(), 5, sleeps, async |values| values.collect::<Vec<_>>().await);
        assert_eq!(values.await, [3, 1, 2, 5, 4]);
        assert_eq!(clock.elapsed(), 5 * SECOND);
        let values = parallel::completed(times, 5, sleeps, async |values| values.collect::<Vec<_>>().await);
        assert_eq!(values.await, [1, 2, 3, 4, 5]);
        assert_eq!(clock.elapsed(), 10 * SECOND);
    });
}

#[test]
fn no_more_than_the_limit_are_under_way() {
    on_each_with_clock(ALL, async |_clock| {
        for limit in [1, 4] {
            let (inside, taken) = (Inside::default(), Cell::new(0));
            let items = stream::iter(0..20).inspect(|_| taken.set(taken.get() + 1));
            let f = |number: usize| {
                inside.clone().during(async move {
                    sleep(SECOND).await;
                    number
                })
            };
            parallel::ordered(items, limit, f, async |mut values| {
                sleep(100 * SECOND).await;
                assert_eq!(taken.get(), limit, "values that nobody has taken count, too");
                let mut wanted = 0;
                while let Some(value) = values.next().await {
                    assert_eq!(value, wanted);
                    wanted += 1;
                    assert!(taken.get() <= wanted + limit);
                }
                assert_eq!(wanted, 20);
                assert_eq!(values.next().await, None);
            })
            .await;
            assert_eq!(inside.most(), limit);
        }
    });
}

#[test]
fn the_stream_goes_on_while_the_consumer_waits() {
    on_each(ALL, async || {
        let begun = Count::default();
        let f = |number| {
            let begun = begun.clone();
            async move {
                begun.add();
                number
            }
        };
        let slow = stream::iter(0..3).then(async |number| {
            checkpoint().await;
            number
        });
        parallel::completed(slow, 3, f, async |mut values| {
            all_wait().await;
            assert_eq!(begun.get(), 3);
            let mut sum = 0;
            while let Some(value) = values.next().await {
                sum += value;
            }
            assert_eq!(sum, 3);
        })
        .await;
    });
}

#[test]
fn the_end_of_the_consumer_is_the_end_of_all() {
    on_each(ALL, async || {
        let (cleaned, closed) = (Count::default(), Flag::default());
        let gone = SetOnDrop(closed.clone());
        let endless = stream::iter(0..).inspect(move |_| _ = &gone);
        let f = |number| {
            let cleaned = cleaned.clone();
            async move {
                if number > 2 {
                    unwinds_slowly(cleaned).await;
                }
                if number == 2 { Err("second") } else { Ok(number) }
            }
        };
        let outcome = parallel::ordered(endless, 4, f, async |mut values| {
            while let Some(value) = values.next().await {
                value?;
            }
            Ok(())
        });
        assert_eq!(outcome.await, Err("second"));
        assert!(closed.is_set());
        assert!(cleaned.get() <= 3);
        let kept = parallel::completed(stream::repeat(1), 4, ready, async |values| values);
        assert!(kept.await.count().await <= 4);
    });
}

#[test]
fn a_panic_in_any_part_of_a_stream_comes_out() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let slow = |_| unwinds_slowly(cleaned.clone());
        let waits = async |mut values: parallel::Results<()>| while values.next().await.is_some() {};
        let in_the_stream = stream::iter(0..).inspect(|&number| {
            if number == 2 {
                blow("stream")
            }
        });
        assert_eq!(panic_of(parallel::ordered(in_the_stream, 4, slow, waits)).await, "stream");
        let in_the_consumer = parallel::ordered(stream::iter(0..), 4, slow, async |_values| {
            a_while().await;
            blow("consumer");
        });
        assert_eq!(panic_of(in_the_consumer).await, "consumer");
        let in_a_future = async |number| {
            if number == 2 {
                blow("future")
            }
        };
        assert_eq!(panic_of(parallel::completed(stream::iter(0..), 4, in_a_future, waits)).await, "future");
    });
}

#[test]
fn next_takes_nothing_when_it_is_cut_or_dropped() {
    on_each(ALL, async || {
        let gate = Gate::default();
        let f = |number| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                number
            }
        };
        parallel::completed(stream::iter([7]), 1, f, async |mut values| {
            assert_eq!(move_on_after(Duration::ZERO, values.next()).await, None);
            {
                let mut next = pin!(values.next());
                poll_fn(|cx| {
                    assert!(next.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                gate.open();
                a_while().await; // The value is there, and the waiter was woken; it is dropped all the same.
            }
            assert_eq!(move_on_after(Duration::ZERO, values.next()).await, None, "a checkpoint, though it is ready");
            assert_eq!(values.next().await, Some(7));
            assert_eq!(values.next().await, None);
        })
        .await;
    });
}

#[test]
fn a_stream_may_borrow_and_stand_in_a_child() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    on_each(ALL, async || {
        let words = Mutex::new(vec!["a", "b"]);
        fn drain(words: &Mutex<Vec<&'static str>>) -> impl Stream<Item = &'static str> {
            stream::poll_fn(|_| Poll::Ready(words.lock().unwrap().pop()))
        }
        let all = parallel::ordered(drain(&words), 2, ready, async |values| values.collect::<String>().await);
        assert_eq!(is_send(all).await, "ba");
        is_send(parallel::map(0..2, 2, ready)).await;
        is_send(parallel::race((ready(1), ready(2)))).await;
        is_send(parallel::try_join((ready(Ok::<_, ()>(1)), ready(Ok(2))))).await.unwrap();
    });
}
