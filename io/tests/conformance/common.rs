//! Streams of every kind, and ways to bring them into a state.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;

use futures_util::future::try_join;
use futures_util::poll;
use trioxide_io::pipe::{Receiver, Sender};
use trioxide_io::{TcpListener, TcpStream, UnixStream, pipe};
use trioxide_runtime::{CancelScope, checkpoint};

/// The numbers of workers on which everything is asserted.
pub(crate) const ALL: &[usize] = &[1, 2, 8];

/// The end that is written.
pub(crate) trait Tx: Sized + Send + Sync + 'static {
    fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
    fn close(&self);
}

/// The end that is read.
pub(crate) trait Rx: Sized + Send + Sync + 'static {
    fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn close(&self);
}

/// Both ways, with directions that end apart.
pub(crate) trait Both: Tx + Rx {
    fn finish(&self) -> io::Result<()>;
}

macro_rules! kinds {
    (tx: $($type:ty),+; rx: $($other:ty),+; both: $($both:ty),+) => {
        $(impl Tx for $type {
            fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                <$type>::write_all(self, buf)
            }
            fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
                <$type>::write(self, buf)
            }
            fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
                <$type>::writable(self)
            }
            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                <$type>::try_write(self, buf)
            }
            fn close(&self) {
                <$type>::close(self)
            }
        })+
        $(impl Rx for $other {
            fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
                <$other>::read(self, buf)
            }
            fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
                <$other>::readable(self)
            }
            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                <$other>::try_read(self, buf)
            }
            fn close(&self) {
                <$other>::close(self)
            }
        })+
        $(impl Both for $both {
            fn finish(&self) -> io::Result<()> {
                <$both>::finish(self)
            }
        })+
    };
}

kinds!(tx: TcpStream, UnixStream, Sender; rx: TcpStream, UnixStream, Receiver; both: TcpStream, UnixStream);

/// The two ends of a TCP connection on the loopback.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, (server, _)) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
    (client, server)
}

/// Runs a generic test on each kind of stream, with each number of workers.
macro_rules! on_one_way {
    ($test:ident) => {
        trioxide_testing::on_each($crate::common::ALL, async || {
            let (tx, rx) = $crate::common::tcp().await;
            $test(tx, rx).await;
            let (tx, rx) = trioxide_io::UnixStream::pair().unwrap();
            $test(tx, rx).await;
            let (tx, rx) = $crate::common::new_pipe();
            $test(tx, rx).await;
        })
    };
}

/// The same for those that go both ways.
macro_rules! on_two_way {
    ($test:ident) => {
        trioxide_testing::on_each($crate::common::ALL, async || {
            let (one, other) = $crate::common::tcp().await;
            $test(one, other).await;
            let (one, other) = trioxide_io::UnixStream::pair().unwrap();
            $test(one, other).await;
        })
    };
}

pub(crate) use {on_one_way, on_two_way};

pub(crate) fn new_pipe() -> (Sender, Receiver) {
    pipe().unwrap()
}

/// Bytes without a short period, so that a lost or doubled piece shows.
pub(crate) fn bytes(count: usize, seed: u32) -> Vec<u8> {
    let mut numbers = Numbers(seed | 1);
    (0..count).map(|_| numbers.next(256) as u8).collect()
}

/// Numbers that look random, the same in each run.
pub(crate) struct Numbers(pub(crate) u32);

impl Numbers {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % below
    }
}

/// More than any kind of stream takes while nobody reads.
pub(crate) fn too_much() -> &'static [u8] {
    static MUCH: LazyLock<Vec<u8>> = LazyLock::new(|| vec![7; 24 << 20]);
    &MUCH
}

/// Polls until the future waits, not only for its turn: a budget that was used up is full again in the next poll of the task.
pub(crate) async fn waits<F: Future>(mut future: Pin<&mut F>) {
    for _ in 0..3 {
        assert!(poll!(future.as_mut()).is_pending());
        checkpoint().await;
    }
}

/// A wait for readiness that really waits. Such a wait may be mistaken: an event that was fetched before what `prepare` does may come after it.
/// There are only so many of those.
pub(crate) async fn waiting<F: Future>(mut prepare: impl FnMut(), mut wait: impl FnMut() -> F) -> Pin<Box<F>> {
    'mistaken: loop {
        prepare();
        let mut wait = Box::pin(wait());
        for _ in 0..3 {
            if poll!(wait.as_mut()).is_ready() {
                continue 'mistaken;
            }
            checkpoint().await;
        }
        return wait;
    }
}

/// Whether the future is cut in a cancelled scope, at its first poll.
pub(crate) async fn is_checkpoint<F: Future>(future: F) -> bool {
    let scope = CancelScope::new();
    scope.handle().cancel("before it began");
    scope.run(future).await.is_err()
}
