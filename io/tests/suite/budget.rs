//! A task that may do little at once: what waits leaves the budget to those that are polled after it, also in combinators that poll in a fixed order.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{join, select_all};
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite};
use trioxide_io::{UnixStream, copy, copy_bidirectional};
use trioxide_runtime::{Runtime, move_on_when};

const WORKERS: [usize; 3] = [1, 2, 8];

fn with_budget(budget: u32, test: impl AsyncFn()) {
    for workers in WORKERS {
        Runtime::builder().workers(workers).signals(false).budget(budget).build().unwrap().run(test());
    }
}

#[test]
fn a_read_that_waits_leaves_a_budget_of_one_to_the_next() {
    with_budget(1, async || {
        let (waits, ends) = UnixStream::pair().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let mut buf = [0; 8];
        let talk = async {
            near.write_all(b"one").await.unwrap();
            let mut buf = [0; 3];
            far.read_exact(&mut buf).await.unwrap();
            far.write_all(&buf).await.unwrap();
            near.read_exact(&mut buf).await.unwrap();
            ends.write_all(&buf).await.unwrap();
        };
        let (count, ()) = join(waits.read(&mut buf), talk).await;
        assert_eq!((count.unwrap(), &buf[..3]), (3, &b"one"[..]));
    });
}

/// `select_all` polls all, first to last. More than the usual budget of them wait before the one that is ready.
#[test]
fn the_last_of_many_reads_is_heard() {
    with_budget(128, async || {
        let pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
        let reads = select_all(pairs.iter().map(|(near, _)| {
            Box::pin(async {
                let mut buf = [0; 8];
                near.read(&mut buf).await.unwrap()
            })
        }));
        let ((count, which, _), ()) = join(reads, async {
            trioxide_runtime::checkpoint().await; // The reads wait.
            pairs[199].1.write_all(b"last").await.unwrap();
        })
        .await;
        assert_eq!((count, which), (4, 199));
    });
}

/// What is made of several leaves goes on, one at a time.
#[test]
fn copies_go_on_with_a_budget_of_one() {
    with_budget(1, async || {
        let sent = vec![7; 100_000];
        let (source, near) = UnixStream::pair().unwrap();
        let (far, sink) = UnixStream::pair().unwrap();
        let send = async {
            source.write_all(&sent).await.unwrap();
            source.finish().unwrap();
        };
        let receive = async {
            let mut got = vec![];
            (&sink).read_to_end(&mut got).await.unwrap();
            got
        };
        let copied = async {
            let copied = copy(&near, &far).await.unwrap();
            far.finish().unwrap();
            copied
        };
        let (copied, (got, ())) = join(copied, join(receive, send)).await;
        assert_eq!((copied, got.len()), (100_000, 100_000));
    });
}

/// A pipe that is read as a file, on a thread of the pool: the thread waits for what the other future writes.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_read_leaves_a_budget_of_one_to_the_next() {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    with_budget(1, async || {
        let (end, mut writer) = io::pipe().unwrap();
        let mut file = trioxide_io::fs::File::open(format!("/proc/self/fd/{}", end.as_raw_fd())).await.unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let talk = async {
            near.write_all(b"one").await.unwrap();
            far.read_exact(&mut [0; 3]).await.unwrap();
            writer.write_all(b"two").unwrap();
        };
        let mut buf = [0; 8];
        let (count, ()) = join(AsyncReadExt::read(&mut file, &mut buf), talk).await;
        assert_eq!((count.unwrap(), &buf[..3]), (3, &b"two"[..]));
    });
}

/// One way never pauses; the other goes on all the same.
#[test]
fn a_copy_that_never_pauses_lets_the_other_way_through() {
    with_budget(16, async || {
        let (client, near) = UnixStream::pair().unwrap();
        let (far, server) = UnixStream::pair().unwrap();
        let mut answer = [0; 6];
        let heard = async {
            server.write_all(b"answer").await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
        };
        let endless = Both(futures_util::io::repeat(1), near);
        let swallows = Both(far, futures_util::io::sink());
        assert!(move_on_when(heard, copy_bidirectional(endless, swallows)).await.is_none());
        assert_eq!(&answer, b"answer");
    });
}

/// Reads from the one, and writes to the other.
struct Both<R, W>(R, W);

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Both<R, W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Both<R, W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().1).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().1).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().1).poll_close(cx)
    }
}
