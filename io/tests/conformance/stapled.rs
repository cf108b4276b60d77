//! Two halves make one stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trioxide_io::process::{Command, Stdio};
use trioxide_io::stream::StapledStream;
use trioxide_io::{copy_bidirectional, pipe};
use trioxide_runtime::join;
use trioxide_testing::on_each;

use crate::common::{ALL, tcp};

#[test]
fn c201_two_halves_make_one_stream() {
    on_each(ALL, async || {
        let ((to, from), (back, forth)) = (pipe().unwrap(), pipe().unwrap());
        let (mut one, mut other) =
            (StapledStream { send: to, receive: forth }, StapledStream { send: back, receive: from });
        one.write_all(b"there").await.unwrap();
        other.write_all(b"back").await.unwrap();
        let mut buf = [0; 5];
        other.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"there");
        one.read_exact(&mut buf[..4]).await.unwrap();
        assert_eq!(&buf[..4], b"back");
        // One direction ends, the other goes on.
        AsyncWriteExt::close(&mut one).await.unwrap();
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
        other.write_all(b"still").await.unwrap();
        one.read_exact(&mut buf).await.unwrap();
        AsyncWriteExt::close(&mut other).await.unwrap();
        assert_eq!(one.read(&mut buf).await.unwrap(), 0);
    });
}

struct Failing {
    _kept: Arc<()>,
}

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("stuck")))
    }
}

#[test]
fn c201_both_halves_are_closed_also_if_one_fails() {
    on_each(ALL, async || {
        let kept = Arc::new(());
        let end = async |mut stapled: StapledStream<_, _>| AsyncWriteExt::close(&mut stapled).await;
        // No descriptor: a process that another test starts just now would have it, too, for a moment.
        let halves = StapledStream { send: Failing { _kept: kept.clone() }, receive: Failing { _kept: kept.clone() } };
        assert_eq!(end(halves).await.unwrap_err().to_string(), "stuck");
        assert_eq!(Arc::strong_count(&kept), 1, "both are gone");
    });
}

#[test]
fn c201_the_pipes_of_a_process_behind_a_connection() {
    on_each(ALL, async || {
        let (client, server) = tcp().await;
        let upper = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = upper.spawn().await.unwrap();
        let process = StapledStream { send: child.stdin.take().unwrap(), receive: child.stdout.take().unwrap() };
        let (copied, said) = join!(copy_bidirectional(server, process), async {
            client.write_all(b"hello").await.unwrap();
            client.finish().unwrap();
            let mut all = Vec::new();
            (&client).read_to_end(&mut all).await.unwrap();
            all
        });
        assert_eq!((copied.unwrap(), &*said), ((5, 5), &b"HELLO"[..]));
        assert!(child.wait().await.unwrap().success());
    });
}
