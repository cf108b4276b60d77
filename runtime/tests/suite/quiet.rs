//! Waiting until every task is blocked, where the runtime must look: drivers, threads, tasks that yield. The rest: `testing/tests/conformance/blocked.rs`.

use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use trioxide_runtime::lowlevel::{Driver, driver, wait_all_tasks_blocked};
use trioxide_runtime::{Clock, Nursery, Runtime, checkpoint, from_thread, nursery, sleep};
use trioxide_testing::{MockClock, on_each};

use crate::common::{ALL, Flag, Gate, Never};

/// A driver with one event, which comes without a sound: who is in `wait` already does not hear of it, who asks afterwards does.
#[derive(Default)]
struct Silent(Mutex<State>, Condvar);

#[derive(Default)]
struct State {
    woken: bool,
    has_come: bool,
    is_fetched: bool,
    waiting: Option<Waker>,
}

impl Driver for Silent {
    fn wait(&self, timeout: Option<Duration>) {
        let mut state = self.0.lock().unwrap();
        if !state.has_come && timeout != Some(Duration::ZERO) {
            let until_woken = |state: &mut State| !state.woken;
            state = match timeout {
                None => self.1.wait_while(state, until_woken).unwrap(),
                Some(timeout) => self.1.wait_timeout_while(state, timeout, until_woken).unwrap().0,
            };
        }
        state.woken = false;
        state.is_fetched |= std::mem::take(&mut state.has_come);
    }

    fn dispatch(&self) {
        let waiting = {
            let mut state = self.0.lock().unwrap();
            if std::mem::take(&mut state.is_fetched) { state.waiting.take() } else { None }
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn wake(&self) {
        self.0.lock().unwrap().woken = true;
        self.1.notify_one();
    }
}

impl Silent {
    async fn event(&self) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if std::mem::replace(&mut asked, true) && state.waiting.is_none() {
                return Poll::Ready(());
            }
            state.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn what_has_arrived_at_the_driver_comes_first() {
    on_each(ALL, async || {
        for _ in 0..50 {
            let arrived = Flag::default();
            nursery(async |n: Nursery<Never>| {
                let silent = driver("test", || Ok(Silent::default())).unwrap();
                let (set, waiting) = (arrived.clone(), Arc::clone(&silent));
                n.spawn(async move {
                    waiting.event().await;
                    for _ in 0..3 {
                        checkpoint().await;
                    }
                    set.set();
                });
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert!(!arrived.is_set());
                silent.0.lock().unwrap().has_come = true;
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert!(arrived.is_set(), "the task that the event wakes was not blocked");
            })
            .await;
        }
    });
}

#[test]
fn what_has_arrived_at_the_driver_comes_before_a_jump() {
    for &workers in ALL {
        let clock = MockClock::autojump();
        let runtime = Runtime::builder().workers(workers).clock(clock.clone()).signals(false).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            let silent = driver("test", || Ok(Silent::default())).unwrap();
            for second in 1..=50 {
                let (waiting, at) = (Arc::clone(&silent), clock.clone());
                n.spawn(async move {
                    waiting.event().await;
                    assert_eq!(at.elapsed(), Duration::from_secs(second - 1));
                });
                wait_all_tasks_blocked(Duration::ZERO).await;
                silent.0.lock().unwrap().has_come = true;
                sleep(Duration::from_secs(1)).await;
                assert_eq!(clock.elapsed(), Duration::from_secs(second));
            }
        }));
    }
}

/// The thread waits for what its task does, so it is not busy itself.
#[test]
fn a_thread_that_waits_for_its_task_is_blocked_if_that_is() {
    on_each(ALL, async || {
        let gate = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let inside = gate.clone();
            n.spawn(async move {
                trioxide_runtime::blocking(move || from_thread::run(async move { inside.pass().await }).unwrap()).await;
            });
            wait_all_tasks_blocked(Duration::ZERO).await;
            gate.open();
        })
        .await;
    });
}

#[test]
fn it_may_be_polled_with_other_wakers_and_dropped_when_it_is_over() {
    on_each(ALL, async || {
        let mut both = futures_util::stream::FuturesUnordered::new();
        both.push(Box::pin(wait_all_tasks_blocked(Duration::ZERO)));
        both.push(Box::pin(wait_all_tasks_blocked(Duration::from_secs(3600))));
        use futures_util::StreamExt;
        assert!(both.next().await.is_some());
        drop(both); // The long one is forgotten with it, or the next would wait behind it.
        wait_all_tasks_blocked(Duration::from_secs(0)).await;
        let mut over = Box::pin(wait_all_tasks_blocked(Duration::ZERO));
        assert!(futures_util::poll!(&mut over).is_pending());
        wait_all_tasks_blocked(Duration::ZERO).await; // Woken together with `over`, which is never polled again.
        drop(over);
    });
}

/// One whose patience is over only when it says so.
struct Patient(MockClock, Arc<Mutex<Option<Duration>>>);

impl Clock for Patient {
    fn now(&self) -> std::time::Instant {
        self.0.now()
    }

    fn sleep_time(&self, deadline: std::time::Instant) -> Option<Duration> {
        self.0.sleep_time(deadline)
    }

    fn patience(&self) -> Option<Duration> {
        *self.1.lock().unwrap()
    }

    fn all_idle(&self, next: Option<std::time::Instant>) -> bool {
        self.0.all_idle(next)
    }

    fn attach(&self, changed: Arc<dyn Fn() + Send + Sync>) {
        self.0.attach(changed);
    }
}

#[test]
fn a_clock_without_patience_is_not_asked() {
    for &workers in ALL {
        let (clock, patience) = (MockClock::autojump(), Arc::new(Mutex::new(None)));
        let patient = Patient(clock.clone(), Arc::clone(&patience));
        let runtime = Runtime::builder().workers(workers).clock(patient).signals(false).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            n.spawn(sleep(Duration::from_secs(1)));
            for _ in 0..20 {
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert_eq!(clock.elapsed(), Duration::ZERO);
            }
            *patience.lock().unwrap() = Some(Duration::from_millis(1));
            clock.jump(Duration::ZERO); // Tells of the change.
        }));
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
    }
}
