//! The programs, written twice side by side.
//!
//! Everything happens once at least, and is noted before the end, also where the machine is so busy that the time is over before the first of them.

use std::io::{Read, Write};
use std::net;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::lateness::{Log, Quantiles};
use super::{Measured, Scenario};

const SPAWN_EVERY: Duration = Duration::from_micros(200);
const ASK_EVERY: Duration = Duration::from_millis(1);
const SLEEPERS: u64 = 100;
const SLEEP: Duration = Duration::from_millis(5);

/// How late things were under trioxide with `workers` workers in `time`.
///
/// # Panics
///
/// If a socket or the runtime fails.
#[must_use]
pub fn trioxide(scenario: &Scenario, workers: usize, time: Duration) -> Quantiles {
    use trioxide::{Nursery, nursery, sleep, sleep_until};
    let runtime = trioxide::Runtime::builder().workers(workers).build().expect("the runtime starts");
    let log = Arc::new(Log::new(room(time)));
    let end = Instant::now() + time;
    runtime.run(nursery(async |n: Nursery<std::convert::Infallible>| {
        let mut outside = Vec::new();
        let mut tasks = Vec::new();
        if let Some(hogs) = scenario.hogs {
            let behind = scenario.measured.contains(&Measured::BehindHog).then(|| (n.clone(), Arc::clone(&log)));
            tasks.push(n.spawn(async move {
                loop {
                    let next = trioxide::now() + hogs.every;
                    if let Some((n, log)) = &behind {
                        let (due, log) = (Instant::now(), Arc::clone(log));
                        n.spawn(async move { log.note(due) });
                    }
                    compute(hogs.busy);
                    sleep_until(next).await;
                    if Instant::now() >= end {
                        break;
                    }
                }
            }));
        }
        for measured in scenario.measured {
            match measured {
                Measured::Spawns => {
                    let (log, n) = (Arc::clone(&log), n.clone());
                    outside.push(generator(end, SPAWN_EVERY, move |due| {
                        let log = Arc::clone(&log);
                        drop(n.spawn(async move { log.note(due) }));
                    }));
                }
                Measured::Timers => {
                    for _ in 0..SLEEPERS {
                        let log = Arc::clone(&log);
                        tasks.push(n.spawn(async move {
                            loop {
                                let due = Instant::now() + SLEEP;
                                sleep(SLEEP).await;
                                log.note(due);
                                if Instant::now() >= end {
                                    break;
                                }
                            }
                        }));
                    }
                }
                Measured::Echo => {
                    let listener = trioxide::io::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                    outside.push(client(end, listener.local_addr().expect("an address"), Arc::clone(&log)));
                    let (stream, _) = listener.accept().await.expect("the client connects");
                    stream.set_nodelay(true).expect("a TCP socket");
                    n.spawn(async move {
                        let mut byte = [0];
                        while stream.read_exact(&mut byte).await.is_ok() {
                            stream.write_all(&byte).await.expect("the client reads");
                        }
                    });
                }
                Measured::BehindHog => {}
            }
        }
        for thread in outside {
            trioxide::blocking(|| thread.join().expect("a thread panicked")).await;
        }
        for task in tasks {
            let _ = task.await;
        }
        // The nursery waits for what was spawned to note something; the server ends with its client.
    }));
    log.quantiles()
}

/// The same under tokio's multi-thread runtime.
///
/// # Panics
///
/// If a socket or the runtime fails.
#[must_use]
pub fn tokio(scenario: &Scenario, workers: usize, time: Duration) -> Quantiles {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let log = Arc::new(Log::new(room(time)));
    let end = Instant::now() + time;
    let (measured, hogs) = (scenario.measured, scenario.hogs);
    let kept = Arc::clone(&log);
    let body = async move {
        let (mut outside, mut spawning) = (Vec::new(), Vec::new());
        let mut group = tokio::task::JoinSet::new();
        let mut servers = Vec::new();
        if let Some(hogs) = hogs {
            let behind = measured.contains(&Measured::BehindHog).then(|| Arc::clone(&log));
            group.spawn(async move {
                let mut last = None;
                loop {
                    let next = tokio::time::Instant::now() + hogs.every;
                    if let Some(log) = &behind {
                        let (due, log) = (Instant::now(), Arc::clone(log));
                        last = Some(tokio::spawn(async move { log.note(due) }));
                    }
                    compute(hogs.busy);
                    tokio::time::sleep_until(next).await;
                    if Instant::now() >= end {
                        break;
                    }
                }
                if let Some(last) = last {
                    last.await.expect("it only notes");
                }
            });
        }
        for measured in measured {
            let log = Arc::clone(&log);
            match measured {
                Measured::Spawns => {
                    let handle = tokio::runtime::Handle::current();
                    spawning.push(generator(end, SPAWN_EVERY, move |due| {
                        let log = Arc::clone(&log);
                        handle.spawn(async move { log.note(due) })
                    }));
                }
                Measured::Timers => {
                    for _ in 0..SLEEPERS {
                        let log = Arc::clone(&log);
                        group.spawn(async move {
                            loop {
                                let due = Instant::now() + SLEEP;
                                tokio::time::sleep(SLEEP).await;
                                log.note(due);
                                if Instant::now() >= end {
                                    break;
                                }
                            }
                        });
                    }
                }
                Measured::Echo => {
                    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                    outside.push(client(end, listener.local_addr().expect("an address"), log));
                    let (mut stream, _) = listener.accept().await.expect("the client connects");
                    stream.set_nodelay(true).expect("a TCP socket");
                    servers.push(tokio::spawn(async move {
                        let mut byte = [0];
                        while stream.read_exact(&mut byte).await.is_ok() {
                            stream.write_all(&byte).await.expect("the client reads");
                        }
                    }));
                }
                Measured::BehindHog => {}
            }
        }
        for thread in outside {
            let joined = tokio::task::spawn_blocking(|| thread.join());
            joined.await.expect("not aborted").expect("a thread panicked");
        }
        for thread in spawning {
            let joined = tokio::task::spawn_blocking(|| thread.join());
            joined.await.expect("not aborted").expect("a thread panicked").await.expect("it only notes");
        }
        while let Some(ended) = group.join_next().await {
            ended.expect("a task panicked");
        }
        servers.iter().for_each(tokio::task::JoinHandle::abort);
    };
    // In a task, so that workers run everything.
    runtime.block_on(runtime.spawn(body)).expect("the program panicked");
    drop(runtime);
    kept.quantiles()
}

/// Keeps the worker busy.
fn compute(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A thread that does `what` every so often until `end`, with the time at which it was due; it gives what came of the last.
fn generator<T: Send + 'static>(
    end: Instant,
    every: Duration,
    mut what: impl FnMut(Instant) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        let mut due = Instant::now();
        loop {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let last = what(due);
            due += every;
            if due >= end {
                break last;
            }
        }
    })
}

/// A thread that asks a server for a byte every so often, and notes when the answer is there.
fn client(end: Instant, address: net::SocketAddr, log: Arc<Log>) -> JoinHandle<()> {
    let stream = net::TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    generator(end, ASK_EVERY, move |due| {
        (&stream).write_all(b"?").expect("the server reads");
        (&stream).read_exact(&mut [0]).expect("the server answers");
        log.note(due);
    })
}

/// Enough for everything that can happen in `time`.
fn room(time: Duration) -> usize {
    let most_often = SPAWN_EVERY.min(SLEEP / SLEEPERS as u32);
    4 * (time.as_nanos() / most_often.as_nanos()) as usize + 1000
}

#[cfg(test)]
mod tests {
    use super::super::SCENARIOS;
    use super::*;

    #[test]
    fn every_scenario_runs_on_both_and_notes_something() {
        for scenario in SCENARIOS {
            for run in [trioxide, tokio] {
                let quantiles = run(scenario, 2, Duration::from_millis(20));
                assert!(quantiles.count() > 0, "{scenario:?}");
            }
        }
    }
}
