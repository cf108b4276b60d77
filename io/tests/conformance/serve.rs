//! Servers: a handler for each connection.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use trioxide_io::{Listen, Server, TcpListener, TcpStream, Trouble, serve};
use trioxide_runtime::{
    CancelScope, Nursery, NurseryError, checkpoint, move_on_after, nursery, sleep, sleep_forever, stopping,
};
use trioxide_sync::Event;
use trioxide_testing::{MockClock, on_each, on_each_with_clock};

use crate::common::{ALL, is_checkpoint};

/// What a fake listener gives, one after the other; then nothing for ever. It counts what is open.
#[derive(Clone, Default)]
struct Fake {
    script: Arc<Mutex<VecDeque<io::Result<u32>>>>,
    open: Arc<AtomicUsize>,
    accepts: Arc<AtomicUsize>,
}

/// A connection of it, or the listener itself.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    fn open(&self) -> Open {
        self.open.fetch_add(1, Ordering::SeqCst);
        Open(self.open.clone())
    }

    fn listener(&self, script: impl IntoIterator<Item = io::Result<u32>>) -> FakeListener {
        self.script.lock().extend(script);
        FakeListener { fake: self.clone(), _open: self.open() }
    }
}

struct FakeListener {
    fake: Fake,
    _open: Open,
}

impl Listen for FakeListener {
    type Stream = Open;
    type Addr = u32;

    async fn accept(&self) -> io::Result<(Open, u32)> {
        checkpoint().await;
        self.fake.accepts.fetch_add(1, Ordering::SeqCst);
        let next = self.fake.script.lock().pop_front();
        match next {
            Some(Ok(peer)) => Ok((self.fake.open(), peer)),
            Some(Err(error)) => Err(error),
            None => {
                sleep_forever().await;
                unreachable!("it sleeps for ever")
            }
        }
    }

    fn local_addr(&self) -> io::Result<u32> {
        Ok(0)
    }
}

fn exhausted() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())
}

#[test]
fn c202_connections_on_two_listeners_are_served_and_closed_and_the_addresses_are_handed_out() {
    on_each(ALL, async || {
        let (one, two) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let expected = [one.local_addr().unwrap(), two.local_addr().unwrap()];
        // The handler does not close the stream: that it ends is enough.
        let server = Server::new(|stream: TcpStream, _| async move { stream.write_all(b"hello").await });
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            let addresses = n.start(async move |started| server.run_started([one, two], started).await).await.unwrap();
            assert_eq!(addresses, expected);
            for address in addresses.iter().cycle().take(6) {
                let stream = TcpStream::connect(*address).await?;
                let mut buf = [0; 5];
                stream.read_exact(&mut buf).await?;
                assert_eq!(stream.read(&mut buf).await?, 0, "closed");
            }
            n.stop(Duration::from_secs(60));
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
    });
}

#[test]
fn c202_streams_and_listeners_are_closed_at_the_end() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let listeners = [fake.listener([Ok(1), Ok(2), Ok(3)]), fake.listener([Ok(4), Ok(5), Ok(6)])];
        let handled = Arc::new(AtomicUsize::new(0));
        let count = handled.clone();
        let server = Server::new(move |_stream: Open, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        assert!(move_on_after(Duration::from_secs(1), server.run(listeners)).await.is_none());
        assert_eq!(handled.load(Ordering::SeqCst), 6);
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c202_a_handler_that_fails_or_panics_ends_its_own_connection_only() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let listener = fake.listener([Ok(1), Ok(2), Ok(3)]);
        let (handled, reports) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, report) = (handled.clone(), reports.clone());
        let server = Server::new(move |_stream: Open, peer| {
            let count = count.clone();
            async move {
                match peer {
                    1 => return Err("no luck"),
                    2 => panic!("a mistake"),
                    _ => sleep(Duration::from_secs(1)).await,
                }
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .report(move |trouble| report.lock().push(trouble.to_string()));
        assert!(move_on_after(Duration::from_secs(2), server.run([listener])).await.is_none());
        assert_eq!(handled.load(Ordering::SeqCst), 1);
        let mut reports = reports.lock();
        reports.sort_unstable();
        assert_eq!(*reports, ["connection from 1: no luck", "connection from 2: its handler panicked: a mistake"]);
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c202_no_more_connections_at_once_than_the_limit() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let listeners = [fake.listener((0..10).map(Ok)), fake.listener((10..20).map(Ok))];
        let (now, most, all) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (now.clone(), most.clone(), all.clone());
        let server = Server::new(move |_stream: Open, _| {
            let (now, most, all) = counts.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                all.fetch_add(1, Ordering::SeqCst);
            }
        })
        .limit(3);
        assert!(move_on_after(Duration::from_secs(60), server.run(listeners)).await.is_none());
        assert_eq!((most.load(Ordering::SeqCst), all.load(Ordering::SeqCst)), (3, 20));
    });
}

#[test]
fn c203_an_error_of_the_listener_stops_the_server() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let listener = fake.listener([Ok(1), Err(io::Error::new(ErrorKind::InvalidInput, "not a listener"))]);
        // The connection that is there is cut.
        let error = serve(listener, |_stream: Open, _| sleep_forever()).await.unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, "not a listener"));
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c204_without_descriptors_accepting_rests_and_does_not_spin() {
    on_each_with_clock(ALL, async |_: MockClock| {
        let fake = Fake::default();
        let listener = fake.listener((0..10).map(|_| Err(exhausted())).chain([Ok(1)]));
        let reports = Arc::new(Mutex::new(Vec::new()));
        let report = reports.clone();
        let server = Server::new(|_stream: Open, _| async {}).report(move |trouble| match trouble {
            Trouble::Exhausted { error, pause } => report.lock().push((error.raw_os_error(), pause)),
            other => panic!("{other}"),
        });
        // At 0, 100, … 900 ms; the eleventh would be at a second.
        assert!(move_on_after(Duration::from_millis(950), server.run([listener])).await.is_none());
        assert_eq!(fake.accepts.load(Ordering::SeqCst), 10);
        let expected = (exhausted().raw_os_error(), Duration::from_millis(100));
        assert_eq!(*reports.lock(), [expected; 10]);
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c204_what_is_reported_says_what_to_do() {
    let error = exhausted();
    let trouble = Trouble::Exhausted { error: &error, pause: Duration::from_millis(100) };
    let text = trouble.to_string();
    assert!(text.starts_with("cannot accept: "), "{text}");
    assert!(
        text.ends_with("; trying again after 100ms; raise the limit of open files, or serve fewer connections at once"),
        "{text}"
    );
}

#[test]
fn c205_handlers_can_live_in_another_nursery() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let listener = fake.listener([Ok(1), Ok(2)]);
        let finish = Arc::new(Event::new());
        nursery(async |handlers: Nursery<std::convert::Infallible>| {
            let wait = finish.clone();
            let server = Server::new(move |stream: Open, _| {
                let wait = wait.clone();
                async move {
                    wait.wait().await;
                    drop(stream);
                }
            })
            .handlers_in(&handlers);
            // The server is cut, and the handlers are not.
            assert!(move_on_after(Duration::from_secs(1), server.run([listener])).await.is_none());
            assert_eq!(handlers.len(), 2);
            assert_eq!(fake.open.load(Ordering::SeqCst), 2);
            finish.set();
        })
        .await;
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c202_stopping_closes_the_listeners_at_once_and_lets_the_handlers_end() {
    on_each_with_clock(ALL, async |clock| {
        let fake = Fake::default();
        let listener = fake.listener([Ok(1), Ok(2)]);
        let ended = Arc::new(Mutex::new(Vec::new()));
        let list = ended.clone();
        let server = Server::new(move |stream: Open, peer| {
            let list = list.clone();
            async move {
                let _open = stream;
                stopping().await;
                // One ends in good time; the other would take longer than the grace.
                sleep(Duration::from_secs(if peer == 1 { 3 } else { 3600 })).await;
                list.lock().push(peer);
            }
        });
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            drop(n.spawn(server.run([listener])));
            sleep(Duration::from_secs(1)).await;
            assert_eq!(fake.open.load(Ordering::SeqCst), 3);
            n.stop(Duration::from_secs(10));
            sleep(Duration::from_secs(1)).await;
            assert_eq!(fake.open.load(Ordering::SeqCst), 2, "the listener is closed, the connections are not");
            Ok::<_, io::Error>(())
        })
        .await;
        drop(result);
        assert_eq!(*ended.lock(), [1]);
        assert_eq!(clock.elapsed(), Duration::from_secs(11));
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn c202_serving_is_a_checkpoint_and_a_cancel_closes_everything() {
    on_each_with_clock(ALL, async |_| {
        let fake = Fake::default();
        let server = Server::new(|_stream: Open, _| pending::<()>());
        assert!(is_checkpoint(server.run([fake.listener([])])).await);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let listener = fake.listener([Ok(1)]);
        let server = Server::new(move |_stream: Open, _| {
            handle.cancel("from the handler");
            sleep_forever()
        });
        assert!(scope.run(server.run([listener])).await.is_err());
        assert_eq!(fake.open.load(Ordering::SeqCst), 0);
    });
}
