//! Each fault of connections. In virtual time.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use trioxide_io::{TcpStream, connect, serve};
use trioxide_runtime::{join, now, nursery, sleep};
use trioxide_testing::network::Link;

use crate::common::{connect_to, counted, drain, listen, milliseconds, on_networks, pair, seconds, waits};

#[test]
fn latency_is_exact_and_jitter_within_its_bound() {
    let statistics = counted(async |network| {
        network.set_default_link(Link::new().latency(milliseconds(25)));
        let start = now();
        let (one, other) = pair(&network).await;
        assert_eq!(now() - start, milliseconds(50), "there and back");
        one.write_all(b"x").await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(now() - start, milliseconds(75));
        network.set_default_link(Link::new().latency(milliseconds(25)).jitter(milliseconds(10)));
        for _ in 0..20 {
            let start = now();
            one.write_all(b"x").await.unwrap();
            assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 1);
            assert!((milliseconds(25)..=milliseconds(35)).contains(&(now() - start)), "{:?}", now() - start);
        }
    });
    assert!(statistics.delayed >= 20, "{statistics:?}");
}

#[test]
fn bandwidth_limits_how_much_goes_over() {
    let statistics = counted(async |network| {
        let (one, other) = pair(&network).await;
        network.set_link("a", "b", Link::new().bandwidth(100_000));
        let start = now();
        let write = async {
            for _ in 0..100 {
                one.write_all(&[0; 10_000]).await.unwrap();
            }
            one.finish().unwrap();
        };
        let (_, all) = join!(write, drain(&other));
        assert_eq!(all.unwrap().len(), 1_000_000);
        let took = now() - start;
        assert!((seconds(10)..seconds(11)).contains(&took), "{took:?}");
    });
    assert!(statistics.throttled >= 99, "{statistics:?}");
}

#[test]
fn what_a_connection_loses_is_sent_again() {
    let statistics = counted(async |network| {
        network.set_default_link(Link::new().loss(0.3));
        let (one, other) = pair(&network).await;
        let write = async {
            for number in 0..100 {
                one.write_all(&[number]).await.unwrap();
            }
            one.finish().unwrap();
        };
        let (_, all) = join!(write, drain(&other));
        assert!(all.unwrap().into_iter().eq(0..100), "in order, and each once");
    });
    assert!(statistics.retransmitted > 10, "{statistics:?}");
}

#[test]
fn a_partition_holds_up_and_healing_lets_through() {
    let statistics = counted(async |network| {
        let (one, other) = pair(&network).await;
        network.partition(&["a"], &["b", "c"]);
        one.write_all(b"held up").await.unwrap();
        sleep(seconds(5)).await;
        assert_eq!(other.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        network.heal();
        let start = now();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 7);
        assert!(now() - start <= seconds(5), "it is tried again within five seconds");
    });
    assert!(statistics.cut > 3, "{statistics:?}");
}

#[test]
fn a_partition_that_stays_is_given_up() {
    let statistics = counted(async |network| {
        network.set_default_link(Link::new().give_up(seconds(20)));
        let (one, other) = pair(&network).await;
        let listener = listen(&network, "b").await;
        network.partition(&["a"], &["b"]);
        let start = now();
        one.write_all(b"in vain").await.unwrap();
        assert_eq!(one.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!((seconds(20)..=seconds(21)).contains(&(now() - start)), "{:?}", now() - start);
        assert_eq!(one.write_all(b"x").await.unwrap_err().kind(), ErrorKind::TimedOut);
        let start = now();
        let error = connect_to(&network, &listener).await.unwrap_err();
        assert_eq!((error.kind(), now() - start), (ErrorKind::TimedOut, seconds(20)));
        // The other end has not sent anything, and so knows nothing.
        assert_eq!(other.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
    assert_eq!(statistics.timed_out, 2);
}

#[test]
fn a_one_way_cut_lets_it_arrive_and_the_sender_never_hears_of_it() {
    on_networks(async |network| {
        network.set_default_link(Link::new().give_up(seconds(20)));
        let (one, other) = pair(&network).await;
        network.cut("b", "a");
        one.write_all(b"done?").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(other.read(&mut buf).await.unwrap(), 5, "it arrives, and is done");
        other.write_all(b"done!").await.unwrap();
        assert_eq!(one.read(&mut buf).await.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn connections_are_reset_by_hand_and_by_chance() {
    let statistics = counted(async |network| {
        let (one, other) = pair(&network).await;
        other.write_all(b"before").await.unwrap();
        sleep(seconds(1)).await;
        assert_eq!(network.reset_connections("a", "c"), 0);
        assert_eq!(network.reset_connections("b", "a"), 1);
        let mut buf = [0; 8];
        assert_eq!(one.read(&mut buf).await.unwrap(), 6, "what has arrived can be read");
        for stream in [&one, &other] {
            assert_eq!(stream.read(&mut buf).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(stream.write_all(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        network.set_default_link(Link::new().resets(1.0));
        let listener = listen(&network, "b").await;
        assert_eq!(connect_to(&network, &listener).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    assert_eq!(statistics.resets, 2);
}

#[test]
fn a_rude_close_is_a_reset() {
    on_networks(async |network| {
        let (one, other) = pair(&network).await;
        one.write_all(b"not read").await.unwrap();
        sleep(seconds(1)).await;
        drop(other);
        assert_eq!(one.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (one, other) = pair(&network).await;
        one.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(one.linger().unwrap(), Some(Duration::ZERO));
        drop(one);
        assert_eq!(other.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_slow_reader_holds_up_the_writer() {
    let statistics = counted(async |network| {
        network.set_default_link(Link::new().buffer(1000));
        let (one, other) = pair(&network).await;
        {
            let mut write = pin!(one.write_all(&[7; 2500]));
            waits(write.as_mut()).await;
            let mut buf = [0; 400];
            other.read_exact(&mut buf).await.unwrap();
            waits(write.as_mut()).await;
            other.read_exact(&mut buf).await.unwrap();
            let mut rest = [0; 1700];
            let (written, read) = join!(write, other.read_exact(&mut rest));
            written.unwrap();
            read.unwrap();
        }
    });
    assert!(statistics.stalled >= 3, "{statistics:?}");
}

#[test]
fn nobody_listens_or_the_line_is_full() {
    let statistics = counted(async |network| {
        let host = network.host("a");
        network.host("b");
        let error = host.run(connect("b", 80)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = host.run(TcpStream::connect("10.9.9.9:80")).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HostUnreachable);

        let options = trioxide_io::TcpListener::options().backlog(1);
        let listener = network.host("b").run(options.bind("0.0.0.0:81")).await.unwrap().unwrap();
        let first = connect_to(&network, &listener).await.unwrap();
        let mut second = pin!(connect_to(&network, &listener));
        let accept = async {
            sleep(seconds(2)).await;
            listener.accept().await.unwrap()
        };
        let (second, accepted) = join!(second.as_mut(), accept);
        second.unwrap();
        assert_eq!(accepted.1, first.local_addr().unwrap());
        let error = network.host("b").run(trioxide_io::TcpListener::bind("0.0.0.0:81")).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
    assert_eq!(statistics.refused, 1);
    assert!(statistics.backlogged >= 1);
}

#[test]
fn descriptors_can_be_used_up() {
    let statistics = counted(async |network| {
        let listener = listen(&network, "b").await;
        network.host("a").set_descriptors(Some(1));
        let _first = connect_to(&network, &listener).await.unwrap();
        let error = connect_to(&network, &listener).await.unwrap_err();
        assert!(error.to_string().contains("Too many open files"), "{error}");
        network.host("b").set_descriptors(Some(1));
        assert!(listener.accept().await.is_err());
        // The connection goes on waiting.
        network.host("b").set_descriptors(None);
        let _accepted = listener.accept().await.unwrap();
        assert_eq!(network.host("b").descriptors(), 2);
    });
    assert_eq!(statistics.out_of_descriptors, 2);
}

/// `serve` slows down, and goes on.
#[test]
fn a_server_survives_that_its_descriptors_are_used_up() {
    let statistics = counted(async |network| {
        let listener = listen(&network, "b").await;
        let port = listener.local_addr().unwrap().port();
        network.host("b").set_descriptors(Some(2));
        let asked = nursery(async |n| {
            let host = network.host("b");
            n.service(async move {
                let handle = async |stream: TcpStream, _| {
                    let mut buf = [0; 5];
                    stream.read_exact(&mut buf).await?;
                    stream.write_all(&buf).await
                };
                drop(host.run(serve(listener, handle)).await);
            });
            let mut asked = 0;
            let clients: Vec<_> = (0..5)
                .map(|_| {
                    let host = network.host("a");
                    n.spawn(async move {
                        let ask = async {
                            let stream = connect("b", port).await?;
                            stream.write_all(b"hello").await?;
                            stream.read_exact(&mut [0; 5]).await
                        };
                        host.run(ask).await.unwrap().unwrap();
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
                asked += 1;
            }
            assert_eq!(asked, 5);
        });
        asked.await;
    });
    assert!(statistics.out_of_descriptors > 0, "{statistics:?}");
}

#[test]
fn names_fail_and_take_their_time() {
    let statistics = counted(async |network| {
        let listener = listen(&network, "b").await;
        let host = network.host("b");
        let start = now();
        network.set_name_delay(seconds(3));
        drop(connect_to(&network, &listener).await.unwrap());
        assert!(now() - start >= seconds(3));
        host.set_resolvable(false);
        let error = connect_to(&network, &listener).await.unwrap_err();
        assert!(error.to_string().contains("the look-up of `b` by `a` fails"), "{error}");
        host.set_resolvable(true);
        drop(connect_to(&network, &listener).await.unwrap());
        let error = network.host("a").run(connect("nowhere", 1)).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("there is no host `nowhere`"), "{error}");
    });
    assert_eq!(statistics.unresolved, 2);
}
