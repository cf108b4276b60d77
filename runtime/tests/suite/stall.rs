//! The report of a run in which nothing can run any more. The report itself ends the stall, or a thread that has waited for several stalls of another
//! runtime meanwhile.

use std::sync::mpsc::channel;
use std::time::Duration;

use trioxide_runtime::lowlevel::{Driver, driver};
use trioxide_runtime::{Builder, Nursery, RunToken, Runtime, TaskState, blocking, nursery, sleep};

use crate::common::{ALL, Count, Gate, Never};

fn quick(workers: usize) -> Builder {
    Runtime::builder().workers(workers).signals(false).stall_after(Duration::from_millis(1))
}

/// A run of its own that stalls several times.
fn stall_elsewhere() {
    let gates: Vec<_> = (0..4).map(|_| Gate::default()).collect();
    let (opened, all) = (Count::default(), gates.clone());
    let runtime = quick(1).on_stall(move |_| all[opened.up() - 1].open()).build().unwrap();
    runtime.run(async {
        for gate in gates {
            gate.pass().await;
        }
    });
}

/// A runtime that counts its stalls.
fn counting(workers: usize) -> (Runtime, Count) {
    let count = Count::default();
    let counted = count.clone();
    (quick(workers).on_stall(move |_| counted.add()).build().unwrap(), count)
}

#[test]
fn a_stall_is_reported_with_what_waits() {
    for &workers in ALL {
        let gate = Gate::default();
        let (send, receive) = channel();
        let inside = gate.clone();
        let report = move |tree: &trioxide_runtime::TaskTree| {
            send.send(tree.clone()).unwrap();
            inside.open();
        };
        let runtime = quick(workers).on_stall(report).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            n.task("stuck").spawn(async move { gate.pass().await });
        }));
        let tree = receive.recv().unwrap();
        let stuck = tree.tasks().find(|task| task.task().unwrap().name() == Some("stuck")).unwrap();
        assert_eq!(stuck.state(), Some(TaskState::Suspended));
        drop(runtime);
        assert!(receive.recv().is_err(), "once");
    }
}

#[test]
fn each_stall_is_reported_once() {
    for &workers in ALL {
        let gates: Vec<_> = (0..5).map(|_| Gate::default()).collect();
        let count = Count::default();
        let (counted, all) = (count.clone(), gates.clone());
        let runtime = quick(workers).on_stall(move |_| all[counted.up() - 1].open()).build().unwrap();
        for gates in gates.chunks(2) {
            runtime.run(async {
                for gate in gates {
                    gate.pass().await;
                }
            });
        }
        assert_eq!(count.get(), 5);
    }
}

#[test]
fn a_stall_that_goes_on_is_not_reported_again() {
    for &workers in ALL {
        let count = Count::default();
        let (send, stalled) = channel();
        let counted = count.clone();
        let report = move |_: &_| {
            counted.add();
            send.send(()).unwrap();
        };
        let runtime = quick(workers).on_stall(report).build().unwrap();
        let gate = Gate::default();
        std::thread::scope(|threads| {
            let (count, gate) = (&count, &gate);
            threads.spawn(move || {
                stalled.recv().unwrap();
                stall_elsewhere();
                assert_eq!(count.get(), 1);
                gate.open();
            });
            runtime.run(gate.pass());
        });
    }
}

#[test]
fn no_stall_while_a_blocking_call_runs_and_one_afterwards() {
    for &workers in ALL {
        let gate = Gate::default();
        let count = Count::default();
        let (counted, inside) = (count.clone(), gate.clone());
        let report = move |_: &_| {
            counted.add();
            inside.open();
        };
        let runtime = quick(workers).on_stall(report).build().unwrap();
        runtime.run(async {
            blocking(stall_elsewhere).await;
            assert_eq!(count.get(), 0);
            gate.pass().await; // Would hang if the end of the call went unnoticed.
        });
        assert_eq!(count.get(), 1);
    }
}

#[test]
fn no_stall_while_a_timer_is_armed() {
    for &workers in ALL {
        let count = Count::default();
        let counted = count.clone();
        let builder = quick(workers).on_stall(move |_| counted.add());
        let (gate, runtime) = (Gate::default(), builder.build().unwrap());
        std::thread::scope(|threads| {
            threads.spawn(|| {
                stall_elsewhere();
                gate.open();
            });
            runtime.run(nursery(async |n: Nursery<Never>| {
                n.spawn(sleep(Duration::from_secs(3600)));
                gate.pass().await;
                assert_eq!(count.get(), 0);
                n.cancel("seen");
            }));
        });
    }
}

#[test]
fn no_stall_while_somebody_has_the_token() {
    for &workers in ALL {
        let (runtime, count) = counting(workers);
        let gate = Gate::default();
        runtime.run(async {
            let (token, inside) = (RunToken::current(), gate.clone());
            std::thread::spawn(move || {
                stall_elsewhere();
                token.run_sync_soon(move || inside.open()).unwrap();
            });
            gate.pass().await;
            assert_eq!(count.get(), 0);
        });
    }
}

/// Waits for nothing, until it is woken.
#[derive(Default)]
struct Quiet(std::sync::Mutex<bool>, std::sync::Condvar);

impl Driver for Quiet {
    fn wait(&self, timeout: Option<Duration>) {
        let woken = self.0.lock().unwrap();
        let mut woken = match timeout {
            None => self.1.wait_while(woken, |woken| !*woken).unwrap(),
            Some(timeout) => self.1.wait_timeout_while(woken, timeout, |woken| !*woken).unwrap().0,
        };
        *woken = false;
    }

    fn dispatch(&self) {}

    fn wake(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }
}

#[test]
fn no_stall_with_a_driver() {
    for &workers in ALL {
        let (runtime, count) = counting(workers);
        let gate = Gate::default();
        std::thread::scope(|threads| {
            runtime.run(async {
                drop(driver("test", || Ok(Quiet::default())).unwrap());
                threads.spawn(|| {
                    stall_elsewhere();
                    gate.open();
                });
                gate.pass().await;
                assert_eq!(count.get(), 0);
            });
        });
    }
}

#[test]
fn a_report_that_panics_takes_nothing_along() {
    for &workers in ALL {
        let gate = Gate::default();
        let inside = gate.clone();
        let report = move |_: &_| {
            inside.open();
            panic!("the report's own");
        };
        let runtime = quick(workers).on_stall(report).build().unwrap();
        runtime.run(gate.pass());
    }
}

/// The worker that reports is looked after.
#[test]
fn a_report_may_wait_for_what_it_has_woken() {
    let gate = Gate::default();
    let inside = gate.clone();
    let (send, ran) = channel();
    let ran = std::sync::Mutex::new(ran);
    let report = move |_: &_| {
        inside.open();
        ran.lock().unwrap().recv().unwrap();
    };
    let runtime = quick(2).on_stall(report).build().unwrap();
    runtime.run(nursery(async |n: Nursery<Never>| {
        n.spawn(async move {
            gate.pass().await;
            send.send(()).unwrap();
        });
    }));
}
