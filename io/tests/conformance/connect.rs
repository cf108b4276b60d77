//! Happy Eyeballs with fake connections on the mock clock, and connecting for real.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use trioxide_io::{Connect, ConnectError, Resolver, TcpListener, connect, set_resolver};
use trioxide_runtime::{CancelScope, move_on_after, sleep, sleep_forever};
use trioxide_testing::{MockClock, on_each, on_each_with_clock};

use crate::common::{ALL, is_checkpoint};

const PORT: u16 = 80;

fn v4(number: u8) -> SocketAddr {
    ([10, 0, 0, number], PORT).into()
}

fn v6(number: u16) -> SocketAddr {
    ([0xfd, 0, 0, 0, 0, 0, 0, number], PORT).into()
}

/// What becomes of an attempt, and when.
#[derive(Clone, Copy)]
enum Fate {
    Connects(f64),
    Fails(f64),
    Hangs,
}
use Fate::{Connects, Fails, Hangs};

/// A network where every address has its fate. It remembers when which attempt began, and counts the sockets that are open.
#[derive(Clone)]
struct Network {
    clock: MockClock,
    fates: Arc<Vec<(SocketAddr, Fate)>>,
    began: Arc<Mutex<Vec<(SocketAddr, f64)>>>,
    open: Arc<AtomicUsize>,
}

/// A socket of that network.
#[derive(Debug)]
struct Fake {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Network {
    fn new(clock: &MockClock, fates: &[(SocketAddr, Fate)]) -> Network {
        let addresses: Vec<_> = fates.iter().map(|(address, _)| *address).collect();
        set_resolver(Some(Resolver::new(move |host: String, port| {
            assert_eq!((&*host, port), ("example.org", PORT));
            let addresses = addresses.clone();
            async move { Ok(addresses) }
        })));
        let (fates, clock) = (Arc::new(fates.to_vec()), clock.clone());
        Network { clock, fates, began: Arc::default(), open: Arc::default() }
    }

    fn attempt(&self, address: SocketAddr) -> impl Future<Output = io::Result<Fake>> + Send + use<> {
        let this = self.clone();
        async move {
            this.open.fetch_add(1, Ordering::SeqCst);
            let fake = Fake { address, open: this.open.clone() };
            this.began.lock().push((address, this.clock.elapsed().as_secs_f64()));
            let (_, fate) = *this.fates.iter().find(|(known, _)| *known == address).unwrap();
            match fate {
                Connects(after) => {
                    sleep(Duration::from_secs_f64(after)).await;
                    Ok(fake)
                }
                Fails(after) => {
                    sleep(Duration::from_secs_f64(after)).await;
                    Err(io::Error::new(ErrorKind::ConnectionRefused, "refused"))
                }
                Hangs => {
                    sleep_forever().await;
                    unreachable!("it sleeps for ever")
                }
            }
        }
    }

    async fn connect(&self, how: Connect) -> io::Result<Fake> {
        let this = self.clone();
        how.to_with("example.org", PORT, move |address| this.attempt(address)).await
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Connects, and checks who won, when that was, when which attempt began, and that nothing else is open.
fn race(fates: &[(SocketAddr, Fate)], how: Connect, winner: SocketAddr, at: f64, began: &[(SocketAddr, f64)]) {
    on_each_with_clock(ALL, async |clock| {
        let network = Network::new(&clock, fates);
        let stream = network.connect(how.clone()).await.unwrap();
        assert_eq!(stream.address, winner);
        assert_eq!(clock.elapsed(), Duration::from_secs_f64(at));
        assert_eq!(*network.began.lock(), began);
        assert_eq!(network.open(), 1, "the losers are closed");
        drop(stream);
        assert_eq!(network.open(), 0);
    });
}

#[test]
fn c206_each_address_has_a_head_start_of_250_ms() {
    let fates = [(v4(1), Hangs), (v4(2), Hangs), (v4(3), Connects(0.1)), (v4(4), Connects(0.0))];
    race(&fates, Connect::new(), v4(3), 0.6, &[(v4(1), 0.0), (v4(2), 0.25), (v4(3), 0.5)]);
}

#[test]
fn c206_an_early_success_starts_no_other() {
    race(&[(v4(1), Connects(0.2)), (v4(2), Connects(0.0))], Connect::new(), v4(1), 0.2, &[(v4(1), 0.0)]);
    race(&[(v4(1), Connects(0.5))], Connect::new(), v4(1), 0.5, &[(v4(1), 0.0)]);
}

#[test]
fn c206_a_slow_first_may_still_win() {
    let fates = [(v4(1), Connects(0.4)), (v4(2), Connects(0.9))];
    race(&fates, Connect::new(), v4(1), 0.4, &[(v4(1), 0.0), (v4(2), 0.25)]);
}

#[test]
fn c206_the_delay_can_be_chosen() {
    let fates = [(v4(1), Connects(8.0)), (v4(2), Connects(8.0)), (v4(3), Connects(0.5)), (v4(4), Connects(0.25))];
    let how = Connect::new().delay(Duration::from_millis(450));
    race(&fates, how, v4(3), 1.4, &[(v4(1), 0.0), (v4(2), 0.45), (v4(3), 0.9), (v4(4), 1.35)]);
}

#[test]
fn c206_a_failure_starts_the_next_at_once() {
    let fates = [(v4(1), Fails(0.1)), (v4(2), Fails(0.0)), (v4(3), Fails(0.2)), (v4(4), Connects(0.05))];
    race(&fates, Connect::new(), v4(4), 0.35, &[(v4(1), 0.0), (v4(2), 0.1), (v4(3), 0.1), (v4(4), 0.3)]);
}

#[test]
fn c206_all_fail_and_each_failure_is_in_the_error() {
    on_each_with_clock(ALL, async |clock| {
        // The first fails last.
        let fates = [(v4(1), Fails(2.0)), (v6(2), Fails(0.4)), (v4(3), Fails(0.3)), (v4(4), Fails(0.1))];
        let network = Network::new(&clock, &fates);
        let error = network.connect(Connect::new()).await.unwrap_err();
        assert_eq!(clock.elapsed(), Duration::from_secs(2));
        assert_eq!(network.open(), 0);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let inner = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
        let tried: Vec<_> = inner.failures().iter().map(|(address, _)| *address).collect();
        assert_eq!(tried, [v4(1), v6(2), v4(3), v4(4)]);
        assert_eq!(
            error.to_string(),
            "cannot connect to `example.org:80`; 4 addresses failed:
  10.0.0.1:80: refused
  [fd::2]:80: refused
  10.0.0.3:80: refused
  10.0.0.4:80: refused"
        );
    });
}

#[test]
fn c206_of_several_winners_one_is_kept() {
    on_each_with_clock(ALL, async |clock| {
        let fates = [(v4(1), Connects(1.0)), (v4(2), Connects(0.75)), (v4(3), Connects(0.5)), (v4(4), Connects(0.25))];
        let network = Network::new(&clock, &fates);
        // All at the same moment, so that any of them may be the first.
        let stream = network.connect(Connect::new()).await.unwrap();
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        assert_eq!(network.open(), 1);
        drop(stream);
        assert_eq!(network.open(), 0);
    });
}

#[test]
fn c206_the_families_take_turns() {
    let fates = [(v6(1), Hangs), (v6(2), Hangs), (v6(3), Hangs), (v4(4), Hangs), (v4(5), Connects(0.0))];
    let began = [(v6(1), 0.0), (v4(4), 0.25), (v6(2), 0.5), (v4(5), 0.75)];
    race(&fates, Connect::new(), v4(5), 0.75, &began);
}

#[test]
fn c206_one_family_alone_keeps_its_order() {
    let began = |address: fn(u8) -> SocketAddr| [(address(1), 0.0), (address(2), 0.25), (address(3), 0.5)];
    let fates = |address: fn(u8) -> SocketAddr| [(address(1), Hangs), (address(2), Hangs), (address(3), Connects(0.0))];
    race(&fates(v4), Connect::new(), v4(3), 0.5, &began(v4));
    let six: fn(u8) -> SocketAddr = |number| v6(number.into());
    race(&fates(six), Connect::new(), six(3), 0.5, &began(six));
}

#[test]
fn c206_no_address_is_an_error_that_names_the_host() {
    on_each_with_clock(ALL, async |clock| {
        let network = Network::new(&clock, &[]);
        let error = network.connect(Connect::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "cannot resolve `example.org:80`: the name has no address");
    });
}

#[test]
fn c206_a_cancel_closes_every_socket() {
    on_each_with_clock(ALL, async |clock| {
        let network = Network::new(&clock, &[(v4(1), Hangs), (v4(2), Hangs), (v4(3), Connects(10.0)), (v4(4), Hangs)]);
        let cut = move_on_after(Duration::from_millis(600), network.connect(Connect::new())).await;
        assert!(cut.is_none());
        assert_eq!(network.began.lock().len(), 3);
        assert_eq!(network.open(), 0);
    });
}

#[test]
fn c206_dropped_right_after_a_connection_was_made_it_is_closed() {
    on_each_with_clock(ALL, async |clock| {
        let network = Network::new(&clock, &[(v4(1), Connects(1.0))]);
        let mut connect = Box::pin(network.connect(Connect::new()));
        // At the moment at which the attempt ends; what its task does goes on when the future is gone.
        let _ = move_on_after(Duration::from_secs(1), connect.as_mut()).await;
        drop(connect);
        assert!(move_on_after(Duration::from_secs(1), sleep_forever()).await.is_none());
        assert_eq!(network.open(), 0);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn c207_a_local_address_is_used() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // All of 127.0.0.0/8 is this machine.
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let connect = Connect::new().local_address(local);
        let (stream, accepted) = futures_util::future::join(connect.to("127.0.0.1", port), listener.accept()).await;
        assert_eq!(stream.unwrap().local_addr().unwrap().ip(), local);
        assert_eq!(accepted.unwrap().1.ip(), local);
    });
}

#[test]
fn c207_a_local_address_of_the_other_family_says_so() {
    on_each(ALL, async || {
        let connect = Connect::new().local_address("::1".parse().unwrap());
        let error = connect.to("127.0.0.1", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "cannot connect to `127.0.0.1:1` from ::1: the host has no address of that family; leave out `local_address`, or use one of the other"
        );
    });
}

/// An address on which nobody listens, and nobody else can: it is taken.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn c220_an_error_names_the_address() {
    on_each(ALL, async || {
        let (_taken, address) = refusing();
        let error = connect("127.0.0.1", address.port()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        let head = format!("cannot connect to `{address}`; 1 address failed:\n  {address}: ");
        assert!(text.starts_with(&head), "{text}");
    });
}

#[test]
fn c220_a_connect_that_is_cancelled_before_or_while_the_name_is_looked_up_leaves_nothing() {
    on_each_with_clock(ALL, async |_| {
        assert!(is_checkpoint(connect("127.0.0.1", 1)).await);
        set_resolver(Some(Resolver::new(|_, _| sleep_forever_with())));
        let scope = CancelScope::new();
        assert!(move_on_after(Duration::from_secs(5), scope.run(connect("example.org", 1))).await.is_none());
    });
}

async fn sleep_forever_with() -> io::Result<Vec<SocketAddr>> {
    sleep_forever().await;
    unreachable!("it sleeps for ever")
}

#[test]
fn c222_a_resolver_of_ones_own_is_used_and_can_be_removed() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(
            set_resolver(Some(Resolver::new(|host: String, port| async move {
                match &*host {
                    "database" => Ok(vec![([127, 0, 0, 1], port).into()]),
                    _ => Err(io::Error::new(ErrorKind::NotFound, "nobody of that name")),
                }
            })))
            .is_none()
        );
        let stream = connect("database", port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        let stream = trioxide_io::TcpStream::connect(("database", port)).await.unwrap();
        drop(stream);
        trioxide_io::TcpStream::connect(format!("database:{port}")).await.unwrap();
        let error = connect("elsewhere", port).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot resolve `elsewhere:{port}`: nobody of that name"));
        // Numeric addresses need no resolver.
        connect("127.0.0.1", port).await.unwrap();
        assert!(set_resolver(None).is_some());
        assert!(set_resolver(None).is_none());
    });
}
