//! monoio and compio: a loop per thread on io_uring. Both are spoken to in the same words, so their rows are written once.

use std::sync::{Arc, Barrier};
use std::thread;

use crate::measure::{Sample, Span};
use crate::rows::tcp::{CONNECTIONS, echoed, requests};

/// The rows that need nothing but tasks, a clock and oneshots. The module that uses it has `run`, `spawn` (whose handle gives what `joined`
/// makes a value of), `sleep`, `timeout` and `tcp_echo`.
macro_rules! rows {
    () => {
        pub(in crate::peers) fn repeat(name: &str) -> Option<Repeat> {
            match name {
                "spawn_join" | "spawn_handles" => Some(|_, scale| run(spawn_join(scale))),
                "spawn_chain" => Some(|_, scale| run(spawn_chain(scale))),
                "fork_join" => Some(|_, scale| run(fork_join(scale))),
                "yield_many" => Some(|_, scale| run(rewake(200, scale.of(1_000, 200)))),
                "wake_seq" => Some(|_, scale| run(rewake(1, scale.of(200_000, 50_000)))),
                "wake_par" => Some(|_, scale| run(rewake(100, scale.of(4_000, 500)))),
                "ping_pong" => Some(|_, scale| run(ping_pong(scale))),
                "sleep_many" => Some(|_, scale| run(sleep_many(scale.of(10_000, 2_000)))),
                "sleep_100k" => Some(|_, scale| run(sleep_many(scale.of(100_000, 20_000)))),
                "timeout_seq" => Some(|_, scale| run(timeouts(1, scale.of(1_000_000, 20_000)))),
                "timeout_par" => Some(|_, scale| run(timeouts(100, scale.of(10_000, 200)))),
                "tcp_echo" => Some(|workers, scale| shared_out(workers, requests(scale), |c, r| run(tcp_echo(c, r)))),
                _ => None,
            }
        }

        async fn spawn_join(scale: Scale) -> Sample {
            let tasks = scale.of(10_000, 2_000);
            let span = Span::start();
            let mut sum = 0;
            for _ in 0..ROUNDS {
                let group: Vec<_> = (0..tasks).map(|i| spawn(async move { black_box(i) })).collect();
                for task in group {
                    sum += joined(task.await);
                }
            }
            let cost = span.stop(tasks * ROUNDS);
            assert_eq!(sum, tasks * (tasks - 1) / 2 * ROUNDS);
            cost.per_operation()
        }

        fn hop(left: u64, done: oneshot::Sender<u64>) {
            let task = spawn(async move {
                if left == 0 {
                    done.send(HOPS).expect("the receiver waits");
                } else {
                    hop(left - 1, done);
                }
            });
            detach(task);
        }

        async fn spawn_chain(scale: Scale) -> Sample {
            let chains = scale.of(50, 10);
            let span = Span::start();
            let mut hops = 0;
            for _ in 0..chains {
                let (done, end) = oneshot::channel();
                hop(HOPS, done);
                hops += end.await.expect("the last task sends");
            }
            let cost = span.stop(hops);
            assert_eq!(hops, chains * HOPS);
            cost.per_operation()
        }

        fn fork(k: u64) -> std::pin::Pin<Box<dyn Future<Output = u64>>> {
            // The type of a task that spawns tasks of its own type has to be hidden somewhere: here, in the handle.
            let task = spawn(async move {
                if k < 2 {
                    return k;
                }
                let (left, right) = (fork(k - 1), fork(k - 2));
                left.await + right.await
            });
            Box::pin(async move { joined(task.await) })
        }

        async fn fork_join(scale: Scale) -> Sample {
            let k = height(scale);
            let span = Span::start();
            let result = fork(k).await;
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        }

        async fn rewake(tasks: u64, wakes: u64) -> Sample {
            let span = Span::start();
            let each = |i| {
                spawn(async move {
                    for _ in 0..wakes {
                        Rewake::default().await;
                    }
                    marks::add(i, 1);
                })
            };
            let group: Vec<_> = (0..tasks).map(each).collect();
            for task in group {
                joined(task.await);
            }
            let cost = span.stop(tasks * wakes);
            marks::assert_all_ran(tasks, 1);
            cost.per_operation()
        }

        async fn ping_pong(scale: Scale) -> Sample {
            let rounds = scale.of(10, 2);
            let span = Span::start();
            for _ in 0..rounds {
                let each = |i| {
                    spawn(async move {
                        let (ping, pinged) = oneshot::channel::<u64>();
                        let (pong, ponged) = oneshot::channel();
                        detach(spawn(async move {
                            pong.send(pinged.await.expect("the ping is sent") + 1).expect("the partner waits");
                        }));
                        ping.send(i).expect("the partner waits");
                        marks::add(i, ponged.await.expect("the pong is sent") - i);
                    })
                };
                let group: Vec<_> = (0..PAIRS).map(each).collect();
                for task in group {
                    joined(task.await);
                }
            }
            let cost = span.stop(rounds * PAIRS);
            marks::assert_all_ran(PAIRS, rounds);
            cost.per_operation()
        }

        async fn sleep_many(tasks: u64) -> Sample {
            let span = Span::start();
            let each = |i| {
                spawn(async move {
                    let nap = Nap::begin(i);
                    sleep(nap.length).await;
                    nap.end();
                })
            };
            let group: Vec<_> = (0..tasks).map(each).collect();
            for task in group {
                joined(task.await);
            }
            slept(span.stop(tasks))
        }

        async fn timeouts(tasks: u64, times: u64) -> Sample {
            let span = Span::start();
            let each = |i| {
                spawn(async move {
                    for _ in 0..times {
                        timeout(LIMIT, Rewake::default()).await.expect("ready at once");
                    }
                    marks::add(i, 1);
                })
            };
            let group: Vec<_> = (0..tasks).map(each).collect();
            for task in group {
                joined(task.await);
            }
            let cost = span.stop(tasks * times);
            marks::assert_all_ran(tasks, 1);
            cost.per_operation()
        }
    };
}

/// `tcp_echo` over several threads, each with its share of the connections, from the time at which all are there.
fn shared_out(workers: usize, requests: u64, run: fn(std::ops::Range<u64>, Started) -> ()) -> Sample {
    let started = Arc::new(Barrier::new(workers + 1));
    let share = |worker: usize| {
        let (from, to) = (CONNECTIONS * worker as u64, CONNECTIONS * (worker as u64 + 1));
        from / workers as u64..to / workers as u64
    };
    let start = |worker| {
        let (slots, started) = (share(worker), Started { barrier: Arc::clone(&started), requests });
        thread::spawn(move || run(slots, started))
    };
    let threads: Vec<_> = (0..workers).map(start).collect();
    started.wait();
    let span = Span::start();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread panicked"));
    echoed(span.stop(CONNECTIONS * requests), CONNECTIONS)
}

/// What a thread of [`shared_out`] waits for when its connections are there.
struct Started {
    barrier: Arc<Barrier>,
    requests: u64,
}

pub(super) mod on_compio;
#[cfg(unix)]
pub(super) mod on_monoio;
