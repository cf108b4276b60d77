//! Buffers, lines, frames, and copying.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{join, try_join};
use trioxide_io::{BufReader, BufWriter, Frames, TooLong, UnixStream, copy, copy_bidirectional, pipe, write_frame};
use trioxide_runtime::{CancelScope, checkpoint, move_on_after, nursery};
use trioxide_testing::{on_each, on_each_with_clock};

/// Gives its bytes in pieces of `piece` bytes, and waits before each.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
    waited: bool,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], piece: usize) -> Pieces<'a> {
        Pieces { bytes, piece, waited: false }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        let count = self.piece.min(self.bytes.len()).min(buf.len());
        buf[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Poll::Ready(Ok(count))
    }
}

#[test]
fn lines_in_pieces_of_every_size() {
    on_each(&[1, 2], async || {
        let text = "one\r\n\ntwo \u{fc}\nlast".as_bytes();
        for piece in 1..=text.len() {
            let mut reader = BufReader::new(Pieces::new(text, piece));
            for line in ["one", "", "two \u{fc}", "last"] {
                assert_eq!(reader.read_line(10).await.unwrap().as_deref(), Some(line));
            }
            assert_eq!(reader.read_line(10).await.unwrap(), None);
            assert_eq!(reader.read_line(10).await.unwrap(), None);
        }
    });
}

#[test]
fn a_line_that_is_too_long_names_the_limit_and_the_next_one_can_be_read() {
    on_each(&[1, 2], async || {
        let text = b"0123456789\nshort\n01234567890123456789";
        for piece in 1..=text.len() {
            let mut reader = BufReader::new(Pieces::new(text, piece));
            let error = reader.read_line(8).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(error.to_string(), "a line of more than 8 bytes is over the limit of 8");
            assert_eq!(TooLong::of(&error).unwrap().limit(), 8);
            assert_eq!(reader.read_line(8).await.unwrap().as_deref(), Some("short"));
            assert!(TooLong::of(&reader.read_line(8).await.unwrap_err()).is_some(), "also without an end");
            assert_eq!(reader.read_line(8).await.unwrap(), None);
        }
        // The newline counts.
        assert_eq!(BufReader::new(&b"1234567\n"[..]).read_line(8).await.unwrap().as_deref(), Some("1234567"));
        assert!(BufReader::new(&b"12345678\n"[..]).read_line(8).await.is_err());
    });
}

#[test]
fn a_line_that_is_not_text_is_an_error_and_the_next_one_can_be_read() {
    on_each(&[1], async || {
        let mut reader = BufReader::new(&b"\xff\nnext\n"[..]);
        assert_eq!(reader.read_line(80).await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(reader.read_line(80).await.unwrap().as_deref(), Some("next"));
    });
}

#[test]
fn what_a_cancelled_read_had_is_there_for_the_next() {
    on_each_with_clock(&[1, 2, 8], async |_| {
        let (one, other) = UnixStream::pair().unwrap();
        let mut reader = BufReader::new(other);
        let hour = Duration::from_secs(3600);
        one.write_all(b"first ha").await.unwrap();
        assert!(move_on_after(hour, reader.read_line(80)).await.is_none());
        assert!(move_on_after(hour, reader.read_exact(20)).await.is_none());
        let scope = CancelScope::new();
        scope.handle().cancel("before it began");
        assert!(scope.run(reader.read_until(b' ', 80)).await.is_err());
        one.write_all(b"lf\nrest").await.unwrap();
        assert_eq!(reader.read_line(80).await.unwrap().as_deref(), Some("first half"));
        assert_eq!(reader.read_exact(4).await.unwrap(), b"rest");
        assert!(reader.buffer().is_empty());
        // Dropped right after the bytes have come: they stay.
        {
            let read = reader.read_exact(5);
            let write = async {
                one.write_all(b"ab").await.unwrap();
                checkpoint().await;
            };
            let mut both = Box::pin(join(read, write));
            for _ in 0..10 {
                assert!(futures_util::poll!(both.as_mut()).is_pending());
                checkpoint().await;
            }
        }
        one.write_all(b"cde").await.unwrap();
        assert_eq!(reader.read_exact(5).await.unwrap(), b"abcde");
    });
}

#[test]
fn exact_reads_and_the_end() {
    on_each(&[1], async || {
        let mut reader = BufReader::new(Pieces::new(b"abcdef", 2));
        assert_eq!(reader.read_exact(3).await.unwrap(), b"abc");
        let error = reader.read_exact(4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "the peer stopped sending after 3 of 4 bytes");
        assert_eq!(reader.read_exact(3).await.unwrap(), b"def", "what came is still there");
        let (_, left) = reader.into_parts();
        assert!(left.is_empty());
    });
}

#[test]
fn frames_in_pieces_of_every_size() {
    on_each(&[1, 2], async || {
        let mut bytes = Vec::new();
        for frame in [&b"hello"[..], b"", b"a frame that is too long", b"next"] {
            write_frame(&mut bytes, frame, 100).await.unwrap();
        }
        for piece in 1..=bytes.len() {
            let mut frames = Frames::new(Pieces::new(&bytes, piece), 8);
            assert_eq!(frames.next().await.unwrap().unwrap(), b"hello");
            assert_eq!(frames.next().await.unwrap().unwrap(), b"");
            let error = frames.next().await.unwrap_err();
            assert_eq!(error.to_string(), "a frame of 24 bytes is over the limit of 8");
            let too_long = TooLong::of(&error).unwrap();
            assert_eq!((too_long.limit(), too_long.length()), (8, Some(24)));
            assert_eq!(frames.next().await.unwrap().unwrap(), b"next", "the long one was thrown away");
            assert_eq!(frames.next().await.unwrap(), None);
        }
        // Cut at every place.
        for end in 1..bytes.len() {
            let mut frames = Frames::new(&bytes[..end], 100);
            let error = loop {
                match frames.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let between = [9, 13, 41].contains(&end);
            assert_eq!(error.map(|error| error.kind()), (!between).then_some(ErrorKind::UnexpectedEof), "{end}");
        }
    });
}

#[test]
fn a_frame_over_the_limit_is_not_written() {
    on_each(&[1], async || {
        let mut bytes = Vec::new();
        let error = write_frame(&mut bytes, b"too long", 7).await.unwrap_err();
        assert_eq!(TooLong::of(&error).unwrap().length(), Some(8));
        assert!(bytes.is_empty());
        // A length that nobody means is refused before memory is taken for it.
        let error = Frames::new(&b"\xff\xff\xff\xff"[..], 1 << 20).next().await.unwrap_err();
        assert_eq!(TooLong::of(&error).unwrap().length(), Some(u32::MAX as usize));
    });
}

#[test]
fn a_cancelled_frame_is_read_whole_later() {
    on_each_with_clock(&[1, 2], async |_| {
        let (sender, receiver) = pipe().unwrap();
        let mut frames = Frames::new(receiver, 100);
        sender.write_all(&[0, 0, 0, 5, b'h', b'e']).await.unwrap();
        assert!(move_on_after(Duration::from_secs(1), frames.next()).await.is_none());
        sender.write_all(b"llo").await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap(), b"hello");
    });
}

#[test]
fn small_writes_are_collected_and_flushed_in_order() {
    on_each(&[1, 2], async || {
        let (sender, receiver) = pipe().unwrap();
        let expected: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let write = async {
            let mut writer = BufWriter::new(sender);
            for number in 0..10_000_u32 {
                writer.write_all(&number.to_le_bytes()).await?;
            }
            assert!(!writer.buffer().is_empty());
            writer.flush().await?;
            assert!(writer.buffer().is_empty());
            Ok::<_, io::Error>(())
        };
        let mut got = Vec::new();
        try_join(write, copy(receiver, &mut got)).await.unwrap();
        assert!(got == expected);
    });
}

/// The two ends of a pair, and those of another: a client, the two sides of a proxy, a server.
fn chain() -> (UnixStream, UnixStream, UnixStream, UnixStream) {
    let (client, front) = UnixStream::pair().unwrap();
    let (back, server) = UnixStream::pair().unwrap();
    (client, front, back, server)
}

#[test]
fn a_proxy_passes_on_both_ways_and_each_end_apart() {
    on_each(&[1, 2, 8], async || {
        let (client, front, back, server) = chain();
        let up: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = up.clone();
        let counts = nursery(async |n| {
            n.spawn(async move {
                client.write_all(&sent).await.unwrap();
                client.finish().unwrap();
                // The way back is still open.
                let mut answer = Vec::new();
                copy(&client, &mut answer).await.unwrap();
                assert_eq!(answer, b"got it");
            });
            n.spawn(async move {
                let mut got = Vec::new();
                // It ends because the client has, through the proxy.
                copy(&server, &mut got).await.unwrap();
                assert!(got == up);
                server.write_all(b"got it").await.unwrap();
            });
            Ok::<_, std::convert::Infallible>(copy_bidirectional(front, back).await.unwrap())
        })
        .await
        .unwrap();
        assert_eq!(counts, (400_000, 6));
    });
}

#[test]
fn copying_is_cut_by_its_scope_and_keeps_the_streams() {
    on_each_with_clock(&[1, 2], async |_| {
        let (client, front, back, server) = chain();
        client.write_all(b"ping").await.unwrap();
        let hour = Duration::from_secs(3600);
        assert!(move_on_after(hour, copy_bidirectional(&front, &back)).await.is_none());
        let mut buf = [0; 4];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"ping");
        // Given by reference, they are still open.
        front.write_all(b"pong").await.unwrap();
        client.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"pong");
        assert!(move_on_after(hour, copy(&front, &back)).await.is_none());
    });
}

#[test]
fn copying_what_never_waits_is_a_checkpoint_all_the_same() {
    on_each_with_clock(&[1, 2], async |_| {
        /// Never ends and never waits.
        struct Zeros;
        impl AsyncRead for Zeros {
            fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(buf.len()))
            }
        }
        let scope = CancelScope::new();
        let handle = scope.handle();
        nursery(async |n| {
            n.spawn(async move { handle.cancel("enough") });
            assert!(scope.run(copy(Zeros, futures_util::io::sink())).await.is_err());
        })
        .await;
    });
}

#[test]
fn a_writer_that_fails_ends_the_copy() {
    on_each(&[1, 2], async || {
        let (sender, receiver) = pipe().unwrap();
        drop(receiver);
        assert_eq!(copy(&[1; 100][..], sender).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (client, front, back, server) = chain();
        drop(server);
        client.write_all(b"x").await.unwrap();
        assert_eq!(copy_bidirectional(front, back).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        /// Takes nothing.
        struct Full;
        impl AsyncWrite for Full {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(0))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        assert_eq!(copy(&b"x"[..], Full).await.unwrap_err().kind(), ErrorKind::WriteZero);
    });
}
