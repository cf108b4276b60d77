//! may: coroutines with stacks of their own, and blocking calls that give the thread to another.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::sync::Once;

use may::coroutine::{JoinHandle, yield_now};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::mpsc::channel;

use super::Repeat;
use crate::marks;
use crate::measure::{Sample, Span};
use crate::rows::Scale;
use crate::rows::fork_join::{fibonacci, height, nodes};
use crate::rows::tcp::{CONNECTIONS, MESSAGE, echoed, requests};
use crate::rows::timers::{Nap, slept};
use crate::rows::{HOPS, PAIRS, ROUNDS};

pub(super) fn repeat(name: &str) -> Option<Repeat> {
    match name {
        "spawn_join" | "spawn_handles" => Some(|workers, scale| run(workers, move || spawn_join(scale))),
        "spawn_chain" => Some(|workers, scale| run(workers, move || spawn_chain(scale))),
        "fork_join" => Some(|workers, scale| run(workers, move || fork_join(scale))),
        "yield_many" => Some(|workers, scale| run(workers, move || yield_many(scale))),
        "ping_pong" => Some(|workers, scale| run(workers, move || ping_pong(scale))),
        "sleep_many" => Some(|workers, scale| run(workers, move || sleep_many(scale.of(10_000, 2_000)))),
        "sleep_100k" => Some(|workers, scale| run(workers, move || sleep_many(scale.of(100_000, 20_000)))),
        "tcp_echo" => Some(|workers, scale| run(workers, move || tcp_echo(scale).expect("the echo works"))),
        _ => None,
    }
}

/// Runs `body` as a coroutine. The scheduler is the process's only one, and starts with the first.
fn run(workers: usize, body: impl FnOnce() -> Sample + Send + 'static) -> Sample {
    static CONFIGURED: Once = Once::new();
    CONFIGURED.call_once(|| {
        may::config().set_workers(workers);
    });
    let body: JoinHandle<Sample> = go!(body);
    body.join().expect("the body panicked")
}

fn spawn_join(scale: Scale) -> Sample {
    let tasks = scale.of(10_000, 2_000);
    let span = Span::start();
    let mut sum = 0;
    for _ in 0..ROUNDS {
        let group: Vec<JoinHandle<u64>> = (0..tasks).map(|i| go!(move || black_box(i))).collect();
        sum += group.into_iter().map(|task| task.join().expect("a task panicked")).sum::<u64>();
    }
    let cost = span.stop(tasks * ROUNDS);
    assert_eq!(sum, tasks * (tasks - 1) / 2 * ROUNDS);
    cost.per_operation()
}

fn spawn_chain(scale: Scale) -> Sample {
    fn hop(left: u64, done: may::sync::mpsc::Sender<u64>) {
        go!(move || {
            if left == 0 {
                done.send(HOPS).expect("the receiver waits");
            } else {
                hop(left - 1, done);
            }
        });
    }
    let chains = scale.of(50, 10);
    let span = Span::start();
    let mut hops = 0;
    for _ in 0..chains {
        let (done, end) = channel();
        hop(HOPS, done);
        hops += end.recv().expect("the last task sends");
    }
    let cost = span.stop(hops);
    assert_eq!(hops, chains * HOPS);
    cost.per_operation()
}

fn fork_join(scale: Scale) -> Sample {
    fn fork(k: u64) -> JoinHandle<u64> {
        go!(move || {
            if k < 2 {
                return k;
            }
            let (left, right) = (fork(k - 1), fork(k - 2));
            left.join().expect("a task panicked") + right.join().expect("a task panicked")
        })
    }
    let k = height(scale);
    let span = Span::start();
    let result = fork(k).join().expect("a task panicked");
    let cost = span.stop(nodes(k));
    assert_eq!(result, fibonacci(k));
    cost.per_operation()
}

fn yield_many(scale: Scale) -> Sample {
    let (tasks, yields) = (200, scale.of(1_000, 200));
    let span = Span::start();
    let each = |i| {
        go!(move || {
            (0..yields).for_each(|_| yield_now());
            marks::add(i, 1);
        })
    };
    join_all((0..tasks).map(each).collect());
    let cost = span.stop(tasks * yields);
    marks::assert_all_ran(tasks, 1);
    cost.per_operation()
}

fn ping_pong(scale: Scale) -> Sample {
    let rounds = scale.of(10, 2);
    let span = Span::start();
    for _ in 0..rounds {
        let each = |i| {
            go!(move || {
                let (ping, pinged) = channel::<u64>();
                let (pong, ponged) = channel();
                go!(move || pong.send(pinged.recv().expect("the ping is sent") + 1).expect("the partner waits"));
                ping.send(i).expect("the partner waits");
                marks::add(i, ponged.recv().expect("the pong is sent") - i);
            })
        };
        join_all((0..PAIRS).map(each).collect());
    }
    let cost = span.stop(rounds * PAIRS);
    marks::assert_all_ran(PAIRS, rounds);
    cost.per_operation()
}

fn sleep_many(tasks: u64) -> Sample {
    let span = Span::start();
    let each = |i| {
        go!(move || {
            let nap = Nap::begin(i);
            may::coroutine::sleep(nap.length);
            nap.end();
        })
    };
    join_all((0..tasks).map(each).collect());
    slept(span.stop(tasks))
}

fn tcp_echo(scale: Scale) -> io::Result<Sample> {
    let requests = requests(scale);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut pairs = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let span = Span::start();
    let mut group: Vec<JoinHandle<()>> = Vec::new();
    for (slot, (mut client, mut server)) in (0..).zip(pairs) {
        group.push(go!(move || {
            let mut buffer = [0; MESSAGE];
            while let Ok(length @ 1..) = server.read(&mut buffer) {
                server.write_all(&buffer[..length]).expect("the client reads");
            }
        }));
        group.push(go!(move || {
            let mut buffer = [0; MESSAGE];
            for time in 0..requests {
                let message = [time as u8; MESSAGE];
                client.write_all(&message).expect("the server reads");
                client.read_exact(&mut buffer).expect("the server answers");
                assert_eq!(buffer, message, "another message came back");
            }
            marks::add(slot, 1);
        }));
    }
    join_all(group);
    Ok(echoed(span.stop(CONNECTIONS * requests), CONNECTIONS))
}

fn join_all(group: Vec<JoinHandle<()>>) {
    group.into_iter().for_each(|task| task.join().expect("a task panicked"));
}
