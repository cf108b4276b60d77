//! TLS over streams of the memory, cancelled and dropped at each of its suspensions: what a read that was cut has not delivered is there for the next; a write or a handshake that was cut leaves a prefix of what was to be
//! written, and a stream that says that it is broken; and the peer never hangs. All in virtual time.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use crate::slot::Slot;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::poll;
use trioxide_io::TcpListener;
use trioxide_io::stream::StapledStream;
use trioxide_io::tls::rustls::pki_types::PrivateKeyDer;
use trioxide_io::tls::{Acceptor, Broken, Connector, TlsStream, connect};
use trioxide_runtime::{Started, join, move_on_when, sleep};
use trioxide_testing::network::{Host, Network};
use trioxide_testing::stream::{
    LockstepReceiveStream, LockstepSendStream, MemoryReceiveStream, MemorySendStream, lockstep_stream_pair,
    memory_stream_pair,
};
use trioxide_testing::{CancelSweep, Cut};

const MOMENT: Duration = Duration::from_millis(1);
const TEXT: &[u8] = b"one two three four";

type Nursery = trioxide_runtime::Nursery<std::convert::Infallible>;
/// Without room: whoever writes waits for the reader.
type Lockstep = StapledStream<LockstepSendStream, LockstepReceiveStream>;
/// With room for all.
type Memory = StapledStream<MemorySendStream, MemoryReceiveStream>;

static ENDS: LazyLock<(Connector, Acceptor, String)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["server.example".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let (pem, certificate) = (certificate.pem(), certificate.der().clone());
    let acceptor = Acceptor::new(vec![certificate.clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap());
    (Connector::with_roots([certificate]).unwrap(), acceptor.unwrap(), pem)
});

/// The client and the server, before the handshake.
fn over<S: AsyncRead + AsyncWrite + Unpin>((client, server): (S, S)) -> (TlsStream<S>, TlsStream<S>) {
    let (connector, acceptor, _) = &*ENDS;
    (connector.wrap("server.example", client).unwrap(), acceptor.wrap(server).unwrap())
}

/// The same after it. What the server sends at its end, and waits for, is for the client's first read.
async fn shaken<S: AsyncRead + AsyncWrite + Unpin>(pair: (S, S)) -> (TlsStream<S>, TlsStream<S>) {
    let (client, server) = over(pair);
    assert!(move_on_when(server.handshake(), client.read(&mut [0])).await.is_none());
    (client, server)
}

fn sweep<S, T>(setup: impl AsyncFn(&Nursery) -> S, body: impl AsyncFn(&S) -> T, check: impl AsyncFn(&S, &Cut<T>)) {
    let runs = CancelSweep::new().seeds(0..3).run(setup, body, check);
    assert!(runs > 20, "{runs}");
}

/// What the peer has read, and whether it came to an end with a goodbye.
#[derive(Clone, Default)]
struct Peer(Arc<Mutex<(Vec<u8>, Option<bool>)>>);

impl Peer {
    /// Reads to the end, whichever that is.
    async fn reads<S: AsyncRead + AsyncWrite + Unpin>(self, stream: Arc<TlsStream<S>>) {
        let mut buf = [0; 5];
        let said_goodbye = loop {
            match stream.read(&mut buf).await {
                Ok(0) => break true,
                Ok(count) => self.0.lock().unwrap().0.extend_from_slice(&buf[..count]),
                Err(_) => break false,
            }
        };
        // The other may be gone.
        let _ = stream.finish().await;
        self.0.lock().unwrap().1 = Some(said_goodbye);
    }

    fn told(&self) -> (Vec<u8>, Option<bool>) {
        self.0.lock().unwrap().clone()
    }
}

/// `body` has the client, and the server reads what it says, once it has begun. That the server comes to an end whatever becomes of the client is looked at by all sweeps here: the run would not end.
fn client<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, T>(
    pair: impl AsyncFn() -> (TlsStream<S>, TlsStream<S>),
    body: impl AsyncFn(TlsStream<S>, &Cell<usize>) -> T,
    check: impl Fn(&Cut<T>, usize, Vec<u8>, Option<bool>),
) {
    sweep(
        async |n| (n.clone(), RefCell::new(Some(pair().await)), Peer::default(), Cell::new(0)),
        async |(n, pair, peer, done)| {
            let (client, server) = pair.take().unwrap();
            n.spawn(peer.clone().reads(server.into()));
            body(client, done).await
        },
        async |(_, _, peer, done), cut| {
            let (got, end) = peer.told();
            check(cut, done.get(), got, end);
        },
    );
}

/// The peer's end is the goodbye if the client came to say it, and else an error.
#[test]
fn handshake_and_close() {
    let body = async |client: TlsStream<Memory>, _: &Cell<usize>| {
        client.handshake().await.unwrap();
        client.close().await.unwrap();
    };
    client(
        async || over(memory_stream_pair()),
        body,
        |cut, _, got, end| {
            assert!(got.is_empty(), "{cut}");
            assert!(cut.outcome().is_none() || end == Some(true), "{cut}");
        },
    );
}

/// What was counted as written has arrived, and what has arrived was to be written.
#[test]
fn writes() {
    let body = async |client: TlsStream<Lockstep>, done: &Cell<usize>| {
        for round in 0.. {
            let rest = &TEXT[done.get()..];
            if rest.is_empty() {
                break;
            }
            if round % 2 == 0 {
                client.writable().await.unwrap();
            }
            let count = client.write(&rest[..rest.len().min(5)]).await.unwrap();
            done.set(done.get() + count);
        }
        client.finish().await.unwrap();
        client.close().await.unwrap();
    };
    client(
        async || shaken(lockstep_stream_pair()).await,
        body,
        |cut, done, got, end| {
            assert!(TEXT.starts_with(&got) && got.len() >= done, "{cut}: {done} counted, {got:?} has come");
            assert!(cut.outcome().is_none() || (got == TEXT && end == Some(true)), "{cut}");
        },
    );
    // With a handshake in it.
    let body = async |client: TlsStream<Memory>, done: &Cell<usize>| {
        client.write_all(TEXT).await.unwrap();
        done.set(TEXT.len());
        client.close().await.unwrap();
    };
    client(
        async || over(memory_stream_pair()),
        body,
        |cut, done, got, end| {
            assert!(TEXT.starts_with(&got) && got.len() >= done, "{cut}: {done} counted, {got:?} has come");
            assert!(cut.outcome().is_none() || (got == TEXT && end == Some(true)), "{cut}");
        },
    );
}

/// Cut, it drops the transport.
#[test]
fn into_parts() {
    let body = async |client: TlsStream<Memory>, _: &Cell<usize>| drop(client.into_parts().await.unwrap());
    client(
        async || over(memory_stream_pair()),
        body,
        |cut, _, got, end| {
            assert!(got.is_empty(), "{cut}");
            assert!(cut.outcome().is_none() || end == Some(true), "{cut}");
        },
    );
}

/// As [`client`], and `after` uses the stream after the cut, while the peer reads on.
fn and_after<T>(
    body: impl AsyncFn(&TlsStream<Lockstep>) -> T,
    after: impl AsyncFn(&TlsStream<Lockstep>, &Cut<T>),
    check: impl Fn(&Cut<T>, Vec<u8>, Option<bool>),
) {
    sweep(
        async |n| {
            let (client, server) = shaken(lockstep_stream_pair()).await;
            let (server, peer) = (Arc::new(server), Peer::default());
            n.service(peer.clone().reads(server.clone())); // There may be no end yet.
            (Slot::new(Some(client)), server, peer)
        },
        async |(client, ..)| body(client.lend().as_ref().unwrap()).await,
        async |(client, server, peer), cut| {
            let after = async {
                let client = client.lend().take().unwrap();
                after(&client, cut).await;
            };
            join!(after, peer.clone().reads(server.clone()));
            let (got, end) = peer.told();
            check(cut, got, end);
        },
    );
}

/// Once a write was cut half-way, the stream says that it is broken; else it had done nothing, or all.
#[test]
fn a_write_that_was_cut() {
    let broken = Cell::new(false);
    let after = async |client: &TlsStream<Lockstep>, cut: &Cut<()>| {
        let next = client.write_all(b"!").await;
        broken.set(next.is_err());
        if let Err(error) = next {
            assert!(Broken::is(&error) && cut.is_cut() && cut.outcome().is_none(), "{cut}: {error}");
        }
    };
    and_after(
        async |client| client.write_all(TEXT).await.unwrap(),
        after,
        |cut, got, end| {
            match (broken.get(), cut.outcome()) {
                (true, _) => assert!(TEXT.starts_with(&got), "{cut}: {got:?}"),
                (false, Some(())) => assert_eq!(got, [TEXT, b"!"].concat(), "{cut}"),
                (false, None) => assert_eq!(got, b"!", "{cut}"),
            }
            assert_eq!(end, Some(false), "{cut}: no goodbye");
        },
    );
}

/// The goodbye goes out with what is polled next.
#[test]
fn a_finish_that_was_cut() {
    let after = async |client: &TlsStream<Lockstep>, _: &Cut<()>| client.finish().await.unwrap();
    and_after(
        async |client| client.finish().await.unwrap(),
        after,
        |cut, got, end| {
            assert_eq!((got, end), (vec![], Some(true)), "{cut}");
        },
    );
}

/// After the handshake the server writes in pieces, and says goodbye. It waits for nobody: there is room for all.
async fn comes(n: &Nursery) -> TlsStream<Memory> {
    let (client, server) = shaken(memory_stream_pair()).await;
    n.spawn(async move {
        for piece in TEXT.chunks(4) {
            sleep(MOMENT).await;
            server.write_all(piece).await.unwrap();
        }
        server.close().await.unwrap();
    });
    client
}

#[test]
fn reads() {
    sweep(
        async |n| (comes(n).await, RefCell::new(vec![])),
        async |(client, read)| {
            let mut buf = [0; 3];
            loop {
                let count = client.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                read.borrow_mut().extend_from_slice(&buf[..count]);
            }
        },
        async |(client, read), cut| {
            let (mut all, mut buf) = (read.take(), [0; 64]);
            loop {
                let count = client.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buf[..count]);
            }
            assert_eq!(all, TEXT, "{cut}");
        },
    );
}

/// A part that was cut is lost, in part or wholly, and nothing else.
#[test]
fn exact_reads() {
    const PART: usize = 6;
    sweep(
        async |n| (comes(n).await, Cell::new(0)),
        async |(client, done)| {
            let mut buf = [0; PART];
            for part in TEXT.chunks(PART) {
                client.read_exact(&mut buf).await.unwrap();
                assert_eq!(buf, part);
                done.set(done.get() + PART);
            }
        },
        async |(client, done), cut| {
            let (mut rest, mut count) = ([0; 64], 0);
            loop {
                match client.read(&mut rest[count..]).await.unwrap() {
                    0 => break,
                    more => count += more,
                }
            }
            assert!(TEXT.ends_with(&rest[..count]), "{cut}");
            let lost = TEXT.len() - done.get() - count;
            assert!(lost == 0 || (cut.outcome().is_none() && lost < PART), "{cut}: {lost}");
        },
    );
}

/// A network that runs, with a server that greets all who come, one after the other. Gives the client's host and the server's.
async fn greeter(n: &Nursery) -> (Host, Host) {
    let network = Network::new(0);
    let hosts = (network.host("client"), network.host("server.example"));
    let server = hosts.1.clone();
    let run = async move |started: Started<()>| {
        let serve = async {
            let listener = TcpListener::bind("0.0.0.0:443").await.unwrap();
            started.set(());
            loop {
                let stream = ENDS.1.wrap(listener.accept().await.unwrap().0).unwrap();
                // Who is cut hangs up, sooner or later.
                let greet = async {
                    stream.write_all(TEXT).await?;
                    stream.close().await
                };
                let _ = greet.await;
            }
        };
        network.run(server.run(serve)).await.unwrap();
    };
    n.task("server").service().start(run).await.unwrap();
    hosts
}

/// A connection by name, with the certificates that the system trusts: so this program is started again with a file of its own for them.
#[test]
fn connecting() {
    const FILE: &str = "SSL_CERT_FILE";
    const AGAIN: &str = "TRIOXIDE_CONNECTING";
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("trusted.pem");
    if std::env::var_os(AGAIN).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "connecting"]).env_remove("SSL_CERT_DIR").env(FILE, path).env(AGAIN, "1");
        let outcome = again.output().unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stdout));
        return;
    }
    std::fs::write(path, &ENDS.2).unwrap();
    let greeting = async |client: &Host| {
        let talk = async {
            let stream = connect("server.example", 443).await.unwrap();
            let mut all = vec![0; TEXT.len()];
            stream.read_exact(&mut all).await.unwrap();
            all
        };
        client.run(talk).await.unwrap()
    };
    // The first call of a process reads the file; one that is cut meanwhile leaves that to the next.
    for first in [true, false] {
        let runs = CancelSweep::new().seeds(0..3).run(
            async |n| greeter(n).await,
            async |(client, _)| {
                if first {
                    assert!(poll!(pin!(client.run(connect("server.example", 443)))).is_pending());
                }
                assert_eq!(greeting(client).await, TEXT);
            },
            async |(client, server), cut| assert_eq!((client.descriptors(), server.descriptors()), (0, 0), "{cut}"),
        );
        assert!(runs > 20, "{runs}");
    }
}
