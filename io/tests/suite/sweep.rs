//! A sweep of partial reads and writes over everything that reads and writes in parts: pieces that end at each place, at each two places, of each
//! size; and every wait dropped and begun anew.

use std::io;
use std::pin::pin;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::poll;
use trioxide_io::{BufReader, BufWriter, Frames, TooLong, copy, write_frame};
use trioxide_runtime::run;
use trioxide_testing::pending_once;
use trioxide_testing::stream::Choppy;

/// Calls `test` with the stream in all pieces that it may come in.
async fn in_all_pieces<S: Copy>(length: usize, stream: S, mut test: impl AsyncFnMut(Choppy<S>)) {
    for one in 0..=length {
        test(Choppy::pieces(stream, one.max(1))).await;
        for other in one..=length {
            test(Choppy::cut_at(stream, [one, other])).await;
        }
    }
    for seed in 0..50 {
        test(Choppy::by_chance(stream, seed)).await;
    }
}

/// Runs what `begin` makes, and drops it each time it waits, once for each wait; what such a future has not done, the next one does.
async fn dropped_at_each_wait<C, T>(context: &mut C, mut begin: impl AsyncFnMut(&mut C) -> T) -> T {
    loop {
        let mut future = pin!(begin(context));
        if let std::task::Poll::Ready(value) = poll!(future.as_mut()) {
            return value;
        }
        // The budget of a task is full again in its next turn.
        pending_once().await;
    }
}

const TEXT: &[u8] = "one\r\n\ntwo \u{fc}\n0123456789 too long\nlast".as_bytes();

async fn lines(mut reader: BufReader<impl AsyncRead + Unpin>) {
    for line in ["one", "", "two \u{fc}"] {
        assert_eq!(read_line(&mut reader).await.unwrap().as_deref(), Some(line));
    }
    assert!(TooLong::of(&read_line(&mut reader).await.unwrap_err()).is_some());
    assert_eq!(read_line(&mut reader).await.unwrap().as_deref(), Some("last"));
    for _ in 0..2 {
        assert_eq!(read_line(&mut reader).await.unwrap(), None);
    }
}

async fn read_line(reader: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<Option<String>> {
    dropped_at_each_wait(reader, async |reader| reader.read_line(10).await).await
}

#[test]
fn lines_come_in_all_pieces() {
    run(in_all_pieces(TEXT.len(), TEXT, async |stream| lines(BufReader::new(stream)).await));
}

#[test]
fn parts_come_in_all_pieces() {
    run(in_all_pieces(12, &b"ab,c,,defghi"[..], async |stream| {
        let mut reader = BufReader::new(stream);
        for part in [&b"ab,"[..], b"c,", b","] {
            let got = dropped_at_each_wait(&mut reader, async |reader| reader.read_until(b',', 4).await).await;
            assert_eq!(got.unwrap().as_deref(), Some(part));
        }
        let exact = dropped_at_each_wait(&mut reader, async |reader| reader.read_exact(4).await).await;
        assert_eq!(exact.unwrap(), b"defg");
        let cut = dropped_at_each_wait(&mut reader, async |reader| reader.read_exact(3).await).await;
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader.buffer(), b"hi", "what came stays");
    }));
}

/// Frames: whole, empty, too long, cut off.
#[test]
fn frames_come_in_all_pieces() {
    const LIMIT: usize = 5;
    let mut bytes = Vec::new();
    run(async {
        for frame in [&b"hello"[..], b"", b"too long", b"x"] {
            write_frame(&mut bytes, frame, 100).await.unwrap();
        }
        bytes.extend_from_slice(&[0, 0, 0, 3, b'c']);
        in_all_pieces(bytes.len(), &bytes[..], async |stream| {
            let mut frames = Frames::new(stream, LIMIT);
            let mut next = async || dropped_at_each_wait(&mut frames, async |frames| frames.next().await).await;
            assert_eq!(next().await.unwrap().as_deref(), Some(&b"hello"[..]));
            assert_eq!(next().await.unwrap().as_deref(), Some(&b""[..]));
            assert_eq!(TooLong::of(&next().await.unwrap_err()).unwrap().length(), Some(8));
            assert_eq!(next().await.unwrap().as_deref(), Some(&b"x"[..]));
            assert_eq!(next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        })
        .await;
    });
}

/// A `Vec` that can be written through a copy of a reference, for `in_all_pieces`.
#[derive(Clone, Copy)]
struct Sink<'a>(&'a std::cell::RefCell<Vec<u8>>);

impl AsyncWrite for Sink<'_> {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.0.borrow_mut().extend_from_slice(buf);
        std::task::Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_close(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// Checks what was written, through all pieces.
fn written(expected: &[u8], mut write: impl AsyncFnMut(Choppy<Sink<'_>>)) {
    let sink = std::cell::RefCell::new(Vec::new());
    run(in_all_pieces(expected.len(), Sink(&sink), async |stream| {
        write(stream).await;
        assert_eq!(sink.take(), expected);
    }));
}

#[test]
fn what_is_written_goes_in_all_pieces() {
    written(b"\0\0\0\x05hello\0\0\0\0", async |mut stream| {
        write_frame(&mut stream, b"hello", 9).await.unwrap();
        write_frame(&mut stream, b"", 9).await.unwrap();
    });
    written(TEXT, async |stream| {
        assert_eq!(copy(Choppy::pieces(TEXT, 3), stream).await.unwrap(), TEXT.len() as u64);
    });
    written(TEXT, async |stream| {
        let mut writer = BufWriter::new(stream);
        for piece in TEXT.chunks(5) {
            dropped_at_each_wait(&mut writer, async |writer| writer.write_all(piece).await).await.unwrap();
            // What a flush that was dropped has written, the next does not write again.
            dropped_at_each_wait(&mut writer, async |writer| writer.flush().await).await.unwrap();
        }
    });
}

/// A reader that is dropped at a wait has taken nothing, wherever that is.
#[test]
fn a_long_text_survives_pieces_by_chance() {
    let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    run(async {
        for seed in 0..10 {
            let mut reader = BufReader::new(Choppy::by_chance(text.as_bytes(), seed));
            for number in 0..2000 {
                let line = dropped_at_each_wait(&mut reader, async |reader| reader.read_line(80).await).await;
                assert_eq!(line.unwrap().unwrap(), format!("line {number}"));
            }
            assert_eq!(reader.read_line(80).await.unwrap(), None);
        }
    });
}
