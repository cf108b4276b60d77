//! Hosts: crashes, power, new lives; that a seed decides; that the program needs no change. In virtual time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use trioxide_io::{Connect, TcpListener, TcpStream, UdpSocket, connect};
use trioxide_runtime::{checkpoint, join, move_on_after, now, nursery, run, sleep, sleep_forever};
use trioxide_testing::network::{Link, Network, Statistics};
use trioxide_testing::{CountDrops, simulate};

use crate::common::{connect_to, counted, listen, milliseconds, on_networks, pair, seconds};

#[test]
fn a_crash_ends_what_runs_there_and_resets_its_connections() {
    on_networks(async |network| {
        let (host, drops, lives) = (network.host("b"), CountDrops::new(), Arc::new(AtomicUsize::new(0)));
        nursery(async |n| {
            let (server, guards, counted) = (host.clone(), drops.clone(), lives.clone());
            n.service(async move {
                loop {
                    let life = server.run(async {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                        let _datagrams = UdpSocket::bind("0.0.0.0:80").await.unwrap();
                        nursery(async |n| {
                            while let Ok((stream, _)) = listener.accept().await {
                                let guard = guards.guard();
                                n.spawn(async move {
                                    let _guards = (stream, guard);
                                    sleep_forever().await;
                                });
                            }
                        })
                        .await;
                    });
                    assert_eq!(life.await.unwrap_err().host(), "b");
                    sleep(seconds(1)).await;
                }
            });
            let client = network.host("a");
            let ask = client.run(async {
                checkpoint().await;
                let first = connect_until("b").await;
                let reset = async { first.read(&mut [0; 8]).await.unwrap_err().kind() };
                let crash = async {
                    sleep(seconds(1)).await;
                    host.crash();
                };
                assert_eq!(join!(reset, crash).0, ErrorKind::ConnectionReset);
                // The host is there, and nobody listens yet.
                let refused = connect("b", 80).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                connect_until("b").await;
            });
            ask.await.unwrap();
        })
        .await;
        assert_eq!(lives.load(Ordering::Relaxed), 2, "the ports were free for the second");
        assert!(drops.all_dropped());
        assert_eq!(network.statistics().crashes, 1);
    });
}

async fn connect_until(host: &str) -> TcpStream {
    loop {
        match connect(host, 80).await {
            Ok(stream) => return stream,
            Err(_) => sleep(milliseconds(100)).await, // retry: it is what the program under test does
        }
    }
}

#[test]
fn who_loses_power_says_nothing() {
    let statistics = counted(async |network| {
        network.set_default_link(Link::new().give_up(seconds(30)));
        let (one, other) = pair(&network).await;
        let host = network.host("b");
        host.power_off();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        // Half-open: who only reads never hears of it.
        assert!(move_on_after(seconds(3600), one.read(&mut [0; 8])).await.is_none());
        // No new connections, and none from there.
        let bound = trioxide_io::TcpListener::bind("10.0.0.1:1");
        let client = network.host("a");
        let error = client.run(connect("b", 80)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(bound);
        // Who writes does once the host is back, which knows nothing of the connection.
        one.write_all(b"are you there?").await.unwrap();
        let restart = async {
            sleep(seconds(10)).await;
            host.run(sleep(seconds(10))).await.unwrap();
        };
        let (read, ()) = join!(async { one.read(&mut [0; 8]).await.unwrap_err().kind() }, restart);
        assert_eq!(read, ErrorKind::ConnectionReset);
    });
    assert_eq!((statistics.power_losses, statistics.half_open, statistics.unknown), (1, 1, 1));
    assert_eq!(statistics.timed_out, 1);
}

#[test]
fn a_host_that_never_comes_back_is_given_up() {
    on_networks(async |network| {
        network.set_default_link(Link::new().give_up(seconds(30)));
        let (one, _other) = pair(&network).await;
        network.host("b").power_off();
        let start = now();
        one.write_all(b"hello?").await.unwrap();
        assert_eq!(one.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!((seconds(30)..=seconds(31)).contains(&(now() - start)));
    });
}

/// Happy Eyeballs with addresses that do not answer.
#[test]
fn a_host_has_several_addresses() {
    on_networks(async |network| {
        let host = network.host("b");
        host.add_address("fd00::b".parse().unwrap());
        network.host("a").add_address("fd00::a".parse().unwrap());
        // It listens on its second address only.
        let _listener = host.run(TcpListener::bind("[fd00::b]:80")).await.unwrap().unwrap();
        let stream = network.host("a").run(Connect::new().to("b", 80)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), "[fd00::b]:80".parse().unwrap());
        assert_eq!(stream.local_addr().unwrap().ip(), "fd00::a".parse::<std::net::IpAddr>().unwrap());
        let elsewhere = network.host("a").run(TcpListener::bind("[fd00::b]:80")).await.unwrap();
        assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_host_speaks_with_itself() {
    on_networks(async |network| {
        network.set_default_link(Link::new().latency(seconds(1)).loss(1.0));
        let speak = async {
            let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
            let (one, accepted) = join!(connect("localhost", 80), listener.accept());
            let (one, (other, _)) = (one.unwrap(), accepted.unwrap());
            one.write_all(b"me").await.unwrap();
            other.read_exact(&mut [0; 2]).await.unwrap();
        };
        let start = now();
        network.host("a").run(speak).await.unwrap();
        assert_eq!(now(), start, "that takes no time");
        network.host("b");
        let other = network.host("b").run(TcpStream::connect("127.0.0.1:80")).await.unwrap();
        assert_eq!(other.unwrap_err().kind(), ErrorKind::ConnectionRefused, "the loopback is each host's own");
    });
}

/// Dropped right after the hand-off, and cancelled while it waits: nothing is lost, and nothing stays open.
#[test]
fn cancelled_waits_leave_nothing_behind() {
    on_networks(async |network| {
        network.set_default_link(Link::new().latency(milliseconds(50)));
        let listener = listen(&network, "b").await;
        assert!(move_on_after(milliseconds(20), connect_to(&network, &listener)).await.is_none());
        assert_eq!(network.host("a").descriptors(), 0);
        assert!(move_on_after(milliseconds(20), listener.accept()).await.is_none());
        // The one that gave up may still be found by `accept`, as on a real host; the next is whole.
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut buf = [0; 2];
                if stream.read_exact(&mut buf).await.is_ok() {
                    return buf;
                }
            }
        };
        let ask = async {
            let stream = connect_to(&network, &listener).await.unwrap();
            assert!(move_on_after(milliseconds(20), stream.read(&mut [0; 8])).await.is_none());
            stream.write_all(b"ok").await.unwrap();
            stream
        };
        let (_stream, served) = join!(ask, serve);
        assert_eq!(&served, b"ok");
        assert_eq!(network.host("b").descriptors(), 1);
    });
}

/// As the table of a process: each socket has one descriptor, from when it is made until it is dropped; who waits to be accepted has none on that side yet.
#[test]
fn what_is_open_is_what_a_table_of_descriptors_would_hold() {
    on_networks(async |network| {
        let (client, server) = (network.host("a"), network.host("b"));
        let open = || (client.descriptors(), server.descriptors());
        let listener = listen(&network, "b").await;
        assert_eq!(open(), (0, 1), "a listener");
        let address = listener.local_addr().unwrap();
        let taken = server.run(TcpListener::bind(address)).await.unwrap();
        assert_eq!((taken.unwrap_err().kind(), open()), (ErrorKind::AddrInUse, (0, 1)), "what could not be had");
        let stream = connect_to(&network, &listener).await.unwrap();
        assert_eq!(open(), (1, 1), "a connection in the backlog");
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(open(), (1, 2), "once it is accepted");
        let datagrams = server.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap().unwrap();
        assert_eq!(open(), (1, 3), "a socket for datagrams");
        drop((accepted, datagrams));
        assert_eq!(open(), (1, 1), "what is dropped");
        server.crash();
        assert_eq!(open(), (1, 0), "those of a process that has died");
        let again = listen(&network, "b").await;
        drop((listener, stream));
        assert_eq!(open(), (0, 1), "what was of an earlier life is gone already");
        drop(again);
        assert_eq!(open(), (0, 0));
    });
}

/// A program that uses all of it, and what comes of it.
async fn program(network: &Network) -> Vec<(std::time::Duration, u8)> {
    let start = now();
    network.set_default_link(Link::new().jitter(milliseconds(30)).loss(0.2).resets(0.01));
    let log = Arc::new(parking_lot::Mutex::new(Vec::new()));
    nursery(async |n| {
        let listener = listen(network, "b").await;
        let port = listener.local_addr().unwrap().port();
        let seen = log.clone();
        n.service(async move {
            nursery(async |n| {
                while let Ok((stream, _)) = listener.accept().await {
                    let seen = seen.clone();
                    n.spawn(async move {
                        let mut buf = [0; 1];
                        while let Ok(1) = stream.read(&mut buf).await {
                            seen.lock().push((now() - start, buf[0]));
                        }
                    });
                }
            })
            .await;
        });
        for client in 0..5 {
            let host = network.host(&format!("client {client}"));
            n.spawn(async move {
                let send = async {
                    let stream = connect("b", port).await?;
                    for number in 0..10 {
                        stream.write_all(&[client * 10 + number]).await?;
                        sleep(milliseconds(7)).await;
                    }
                    Ok::<_, std::io::Error>(())
                };
                let _may_be_reset = host.run(send).await.unwrap();
                sleep(seconds(30)).await;
            });
        }
    })
    .await;
    Arc::into_inner(log).unwrap().into_inner()
}

#[test]
fn the_seed_decides() {
    let once = |seed: u64| -> (Vec<_>, Statistics) {
        simulate(seed, async || {
            let network = Network::new(0);
            let log = network.run(program(&network)).await;
            (log, network.statistics())
        })
    };
    let first = once(1);
    assert!(first.1.retransmitted > 0 && first.0.len() > 10, "{:?}", first.1);
    for _ in 0..3 {
        assert_eq!(once(1), first);
    }
    assert_ne!(once(2).0, first.0);

    let alone = |seed: u64| {
        let clock = trioxide_testing::MockClock::autojump();
        let runtime = trioxide_runtime::Runtime::builder().workers(1).clock(clock).signals(false).build().unwrap();
        runtime.run(async {
            let network = Network::new(seed);
            network.run(program(&network)).await
        })
    };
    assert_eq!(alone(1), alone(1), "on one worker the seed of the network is enough");
    assert_ne!(alone(1), alone(2));
}

#[test]
#[should_panic(expected = "`Host::run` outside of `Network::run`")]
fn a_host_needs_a_network_that_runs() {
    run(async {
        let _ = Network::new(1).host("a").run(async {}).await;
    });
}

#[test]
#[should_panic(expected = "`as_fd` needs a socket of the system")]
fn there_is_no_descriptor() {
    run(async {
        let network = Network::new(1);
        network
            .run(async {
                let listener = listen(&network, "b").await;
                assert_eq!(listener.local_addr().unwrap().port(), 49152);
                std::os::fd::AsFd::as_fd(&listener);
            })
            .await;
    });
}
