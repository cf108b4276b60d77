//! `sendfile`: the bytes of the file, each once, and it is known how many have gone, whatever comes in between.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::poll;
use trioxide_io::fs::File;
use trioxide_io::{TcpListener, TcpStream, UnixStream, copy, is_busy, is_closed};
use trioxide_runtime::lowlevel::wait_all_tasks_blocked;
use trioxide_runtime::{CancelScope, join};
use trioxide_testing::network::{Link, Network, Storm};
use trioxide_testing::{on_each, on_each_with_clock};

/// More than the system has room for between two sockets.
const LONG: usize = 20 << 20;

/// A file with these bytes, which goes with the value.
struct Sample(PathBuf, Vec<u8>);

impl Sample {
    fn new(length: usize) -> Sample {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("sendfile-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let bytes: Vec<u8> = (0..length).map(|number| (number * 31 % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        Sample(path, bytes)
    }

    async fn open(&self) -> File {
        File::open(&self.0).await.unwrap()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn all_of(stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    copy(stream, &mut all).await.unwrap();
    all
}

/// Sends `rest`, then ends the stream; gives the count and what has come.
macro_rules! sent {
    ($near:expr, $far:expr, $file:expr, $rest:expr) => {{
        let send = async {
            let count = $near.sendfile($file, $rest).await.unwrap();
            $near.finish().unwrap();
            count
        };
        let receive = async {
            let mut all = Vec::new();
            copy(&$far, &mut all).await.unwrap();
            all
        };
        join!(send, receive)
    }};
}

#[test]
fn the_whole_or_a_part_arrives_as_it_does_by_copy() {
    on_each(&[1, 2, 8], async || {
        let sample = Sample::new(1 << 20);
        let mut file = sample.open().await;
        let length = sample.1.len() as u64;
        let parts: [(Range<u64>, Range<usize>); 6] = [
            (0..length, 0..sample.1.len()),
            (0..u64::MAX, 0..sample.1.len()),
            (1..4, 1..4),
            (300_000..900_001, 300_000..900_001),
            (length - 1..length + 1, sample.1.len() - 1..sample.1.len()),
            (length + 5..length + 7, 0..0),
        ];
        for (mut rest, expected) in parts {
            let (end, mut again) = (rest.end, rest.clone());
            let (near, far) = tcp().await;
            let (count, got) = sent!(near, far, &file, &mut rest);
            assert!(got == sample.1[expected.clone()], "other bytes came of {rest:?}");
            assert_eq!(count, expected.len() as u64);
            assert_eq!((rest.start, rest.end), (again.start + count, end));
            let (near, far) = UnixStream::pair().unwrap();
            assert!(sent!(near, far, &file, &mut again) == (count, got));
        }
        // The position has not moved.
        let (near, far) = tcp().await;
        let by_copy = async {
            assert_eq!(copy(&mut file, &near).await.unwrap(), length);
            near.finish().unwrap();
        };
        assert!(join!(by_copy, all_of(&far)).1 == sample.1);
    });
}

#[test]
fn of_nothing_nothing_is_sent() {
    on_each(&[1, 2], async || {
        let sample = Sample::new(10);
        let file = sample.open().await;
        let (near, far) = tcp().await;
        assert_eq!(near.sendfile(&file, &mut (3..3)).await.unwrap(), 0);
        #[expect(clippy::reversed_empty_ranges, reason = "that it is empty, too, is what is tested")]
        let mut reversed = 5..3;
        assert_eq!(near.sendfile(&file, &mut reversed).await.unwrap(), 0);
        assert_eq!(reversed.start, 5);
        near.finish().unwrap();
        assert_eq!(all_of(&far).await, b"");
    });
}

/// The system has let go of the pages: they come from the disk, where there is one.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_not_in_memory_arrives() {
    use rustix::fs::{Advice, fadvise};

    on_each(&[1, 2], async || {
        let sample = Sample::new(3 << 20);
        let file = std::fs::File::open(&sample.0).unwrap();
        file.sync_all().unwrap();
        // The first mebibyte stays.
        fadvise(&file, 1 << 20, None, Advice::DontNeed).unwrap();
        let (file, mut rest) = (File::from_std(file), 0..u64::MAX);
        let (near, far) = tcp().await;
        assert!(sent!(near, far, &file, &mut rest) == (3 << 20, sample.1.clone()));
    });
}

/// It has neither pages nor a length.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_the_system_cannot_send_arrives() {
    on_each(&[1, 2], async || {
        let file = File::open("/proc/self/cmdline").await.unwrap();
        let (near, far) = tcp().await;
        let (count, got) = sent!(near, far, &file, &mut (0..u64::MAX));
        assert_eq!(got, std::fs::read("/proc/self/cmdline").unwrap());
        assert_eq!(count, got.len() as u64);
    });
}

#[test]
fn what_cannot_be_read_at_a_position_says_so() {
    on_each(&[1], async || {
        let sample = Sample::new(10);
        let (near, _far) = tcp().await;
        let (pipe, _writer) = std::io::pipe().unwrap();
        let pipe = File::from_std(std::os::fd::OwnedFd::from(pipe).into());
        let error = near.sendfile(&pipe, &mut (7..9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
        assert!(error.to_string().starts_with("cannot read the file at byte 7"), "{error}");
        let written = File::options().write(true).open(&sample.0).await.unwrap();
        assert!(near.sendfile(&written, &mut (0..9)).await.is_err());
        let directory = File::open(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
        assert_eq!(near.sendfile(&directory, &mut (0..9)).await.unwrap_err().kind(), ErrorKind::IsADirectory);
        // And nothing has gone.
        near.write_all(b"x").await.unwrap();
        near.finish().unwrap();
        assert_eq!(all_of(&_far).await, b"x");
    });
}

#[test]
fn a_peer_that_goes_is_an_error_and_the_count_says_what_it_may_have() {
    on_each(&[1, 2], async || {
        let sample = Sample::new(LONG);
        let file = sample.open().await;
        let (near, far) = tcp().await;
        let mut rest = 0..LONG as u64;
        let read = async {
            let mut some = vec![0; 1 << 20];
            far.read_exact(&mut some).await.unwrap();
            drop(far);
            some
        };
        let (sent, some) = join!(near.sendfile(&file, &mut rest), read);
        let error = sent.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        assert!(some == sample.1[..1 << 20]);
        assert!((1 << 20..LONG as u64).contains(&rest.start), "{rest:?}");
    });
}

/// Cut by a scope, and dropped, again and again while the socket is full; who goes on with the same rest sends each byte once.
#[test]
fn cancelled_or_dropped_half_way_it_can_be_gone_on_with() {
    on_each_with_clock(&[1, 2], async |_| {
        let sample = Sample::new(LONG);
        let file = sample.open().await;
        let (near, far) = tcp().await;
        let (mut rest, mut got, mut piece) = (0..LONG as u64, Vec::new(), vec![0; 2 << 20]);
        let mut cuts = 0;
        loop {
            near.writable().await.unwrap();
            let (scope, begin) = (CancelScope::new(), rest.start);
            let handle = scope.handle();
            let cancel = async {
                wait_all_tasks_blocked(Duration::ZERO).await;
                handle.cancel("the socket is full");
            };
            if join!(scope.run(near.sendfile(&file, &mut rest)), cancel).0.is_ok() {
                break;
            }
            assert!(rest.start > begin, "nothing was sent to a socket with room");
            // With a drop instead of a scope nothing is lost, either.
            let mut dropped = Box::pin(near.sendfile(&file, &mut rest));
            assert!(poll!(&mut dropped).is_pending());
            drop(dropped);
            // What was counted has been sent, and no more.
            while got.len() < rest.start as usize {
                let count = far.read(&mut piece).await.unwrap();
                got.extend_from_slice(&piece[..count]);
            }
            assert_eq!(got.len(), rest.start as usize);
            assert_eq!(far.try_read(&mut piece).unwrap_err().kind(), ErrorKind::WouldBlock);
            cuts += 1;
        }
        assert!(cuts > 0, "the socket took it all"); // How often is the system's affair: it lets a socket's buffers grow.
        near.finish().unwrap();
        got.extend(all_of(&far).await);
        assert!(got == sample.1, "other bytes came");
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_sent() {
    on_each(&[1, 2], async || {
        let sample = Sample::new(10);
        let file = sample.open().await;
        let (near, far) = tcp().await;
        let (scope, mut rest) = (CancelScope::new(), 0..10);
        scope.handle().cancel("before it began");
        assert!(scope.run(near.sendfile(&file, &mut rest)).await.is_err());
        assert_eq!(rest, 0..10);
        near.finish().unwrap();
        assert_eq!(all_of(&far).await, b"");
    });
}

#[test]
fn two_at_once_are_busy_and_what_is_closed_says_so() {
    on_each_with_clock(&[1, 2], async |_| {
        let sample = Sample::new(LONG);
        let file = sample.open().await;
        let (near, _far) = tcp().await;
        let mut rest = 0..LONG as u64;
        let others = async {
            wait_all_tasks_blocked(Duration::ZERO).await; // the socket is full
            assert!(is_busy(&near.write(b"x").await.unwrap_err()));
            assert!(is_busy(&near.sendfile(&file, &mut (0..1)).await.unwrap_err()));
            near.close();
        };
        let error = join!(near.sendfile(&file, &mut rest), others).0.unwrap_err();
        assert!(is_closed(&error), "{error}");
        let error = near.sendfile(&file, &mut (0..1)).await.unwrap_err();
        assert!(is_closed(&error) && error.to_string().contains("TcpStream::sendfile"), "{error}");
    });
}

#[test]
fn on_a_simulated_network_in_a_storm_it_arrives() {
    on_each_with_clock(&[1, 2], async |_| {
        let sample = Sample::new(700_000);
        let network = Network::new(1);
        let (client, server) = (network.host("client"), network.host("server"));
        client.set_storm(Storm { interrupted: 0.3, would_block: 0.3, partial: 0.8 });
        network.set_default_link(Link::new().buffer(30_000));
        let talk = async {
            let file = sample.open().await;
            let listener = server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap().unwrap();
            let (near, far) = join!(client.run(trioxide_io::connect("server", 80)), listener.accept());
            let (near, (far, _)) = (near.unwrap().unwrap(), far.unwrap());
            let mut rest = 100..600_000;
            assert!(sent!(near, far, &file, &mut rest) == (599_900, sample.1[100..600_000].to_vec()));
            assert_eq!(rest, 600_000..600_000);
        };
        network.run(talk).await;
    });
}
