//! A task that blocks its worker: what the worker has left undone is done by others, within milliseconds.
//!
//! Each hog blocks until what it holds up has happened: without help these tests would hang.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use crate::common::{Flag, Never};
use trioxide_runtime::lowlevel::{Driver, driver};
use trioxide_runtime::{Runtime, checkpoint, nursery, run, sleep, sleep_forever};
use trioxide_testing::MockClock;

const SEVERAL: &[usize] = &[2, 8];

#[test]
fn the_slot_of_a_hog_is_emptied() {
    for &workers in SEVERAL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for _ in 0..20 {
            runtime.run(nursery(async |n| {
                let spawner = n.clone();
                n.spawn(async move {
                    let (done, hears) = mpsc::channel();
                    spawner.spawn(async move { done.send(()).unwrap() }); // into the slot of this worker
                    hears.recv().unwrap();
                });
            }));
        }
    }
}

/// Long enough asleep, no worker stands guard any more.
#[test]
fn the_slot_of_a_hog_that_a_timer_has_woken_is_emptied() {
    for &workers in SEVERAL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(nursery(async |n| {
            let spawner = n.clone();
            n.spawn(async move {
                for _ in 0..3 {
                    sleep(Duration::from_millis(50)).await; // real time: until no sentry is left; they nap in real time
                    let (done, hears) = mpsc::channel();
                    spawner.spawn(async move { done.send(()).unwrap() });
                    hears.recv().unwrap();
                }
            });
        }));
    }
}

#[test]
fn the_queue_of_a_hog_is_emptied() {
    for &workers in SEVERAL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(nursery(async |n| {
            let spawner = n.clone();
            n.spawn(async move {
                let (done, hears) = mpsc::channel();
                for _ in 0..100 {
                    let done = done.clone();
                    spawner.spawn(async move { done.send(()).unwrap() });
                }
                for _ in 0..100 {
                    hears.recv().unwrap();
                }
            });
        }));
    }
}

/// Where all polls are short and fight for the same, a worker may have stepped aside.
#[test]
fn the_queue_of_a_hog_is_emptied_by_who_has_stepped_aside() {
    const POLLS: usize = 2_000;
    for &workers in SEVERAL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let polls = Arc::new(Mutex::new(0));
        for _ in 0..5 {
            runtime.run(nursery(async |n| {
                for at in 0..8 {
                    let (spawner, polls) = (n.clone(), Arc::clone(&polls));
                    n.spawn(async move {
                        for _ in 0..POLLS {
                            *polls.lock().unwrap() += 1;
                            checkpoint().await;
                        }
                        if at == 0 {
                            let (done, hears) = mpsc::channel();
                            spawner.spawn(async move { done.send(()).unwrap() });
                            hears.recv().unwrap();
                        }
                    });
                }
            }));
        }
        assert_eq!(*polls.lock().unwrap(), 5 * 8 * POLLS);
    }
}

/// Also `main` can be the hog: in a runtime whose other workers have slept since they were made.
#[test]
fn main_may_be_the_hog() {
    for &workers in SEVERAL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for _ in 0..20 {
            runtime.run(nursery(async |n| {
                let (done, hears) = mpsc::channel();
                n.spawn(async move { done.send(()).unwrap() });
                hears.recv().unwrap();
            }));
        }
    }
}

#[test]
fn timers_of_a_hog_fire() {
    for &workers in SEVERAL {
        let clock = MockClock::new();
        let runtime = Runtime::builder().workers(workers).clock(clock.clone()).build().unwrap();
        runtime.run(async {
            // Woken by the timer of this worker's wheel, and run by whoever fires it.
            let slept = Flag::default();
            nursery(async |n| {
                let (done, hears) = mpsc::channel();
                n.spawn({
                    let slept = slept.clone();
                    async move {
                        let sleeper = async {
                            sleep(Duration::from_secs(1)).await;
                            done.send(()).unwrap();
                        };
                        // Told when the timer is set: or else the time could be moved before it, and never reach it.
                        let mut sleeper = std::pin::pin!(sleeper);
                        std::future::poll_fn(|cx| {
                            let polled = sleeper.as_mut().poll(cx);
                            slept.set();
                            polled
                        })
                        .await;
                    }
                });
                slept.wait().await;
                trioxide_runtime::checkpoint().await;
                clock.jump(Duration::from_secs(2));
                hears.recv().unwrap();
            })
            .await;
        });
    }
}

/// A driver that counts how often somebody waits in it.
#[derive(Default)]
struct Counting {
    waits: AtomicUsize,
    woken: Mutex<bool>,
    bell: Condvar,
    /// Told at each wait.
    told: Mutex<Option<mpsc::Sender<()>>>,
}

impl Driver for Counting {
    fn wait(&self, timeout: Option<Duration>) {
        if timeout != Some(Duration::ZERO) {
            self.waits.fetch_add(1, Ordering::Relaxed);
            if let Some(told) = &*self.told.lock().unwrap() {
                let _ = told.send(());
            }
        }
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            match timeout {
                None => woken = self.bell.wait(woken).unwrap(),
                Some(timeout) => {
                    woken = self.bell.wait_timeout(woken, timeout).unwrap().0;
                    break;
                }
            }
        }
        *woken = false;
    }

    fn dispatch(&self) {}

    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

#[test]
fn while_a_hog_runs_somebody_waits_in_the_driver() {
    for &workers in SEVERAL {
        Runtime::builder().workers(workers).build().unwrap().run(async {
            let driver: Arc<Counting> = driver("test", || Ok(Counting::default())).unwrap();
            let (tell, hears) = mpsc::channel();
            *driver.told.lock().unwrap() = Some(tell);
            hears.recv().unwrap(); // Nobody could before it was there.
        });
    }
}

#[test]
fn one_worker_alone_is_not_helped_and_does_not_need_it() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(async {
        nursery::<Never, _, _>(async |n| {
            n.spawn(sleep_forever());
            n.cancel("enough");
        })
        .await;
    });
    run(async {});
}
