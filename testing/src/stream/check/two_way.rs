//! Behaviours 199 and 200.

use trioxide_io::is_closed;
use trioxide_io::stream::{HalfCloseableStream, ReceiveStream, SendStream};
use trioxide_runtime::join;

use super::{bytes, drain};

pub(super) async fn check<A, B>(make: &impl AsyncFn() -> (A, B))
where
    A: SendStream + ReceiveStream + 'static,
    B: SendStream + ReceiveStream + 'static,
{
    both_at_once(make().await).await;
    let (one, other) = make().await;
    drop(one);
    let end = other.read(&mut [0; 8]).await;
    assert!(matches!(end, Ok(0)), "199: the end comes after the peer has closed, not {end:?}");
}

async fn both_at_once<A, B>((one, other): (A, B))
where
    A: SendStream + ReceiveStream,
    B: SendStream + ReceiveStream,
{
    let (up, down) = (bytes(1 << 20, 1), bytes(1 << 20, 2));
    join!(
        write_in_pieces(&one, &up, 3),
        read_in_pieces(&other, &up, 4),
        write_in_pieces(&other, &down, 5),
        read_in_pieces(&one, &down, 6)
    );
}

async fn write_in_pieces(stream: &impl SendStream, mut out: &[u8], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !out.is_empty() {
        let (piece, rest) = out.split_at(random.usize(1..30_000).min(out.len()));
        stream.write_all(piece).await.expect("199: both directions work at once");
        out = rest;
    }
}

async fn read_in_pieces(stream: &impl ReceiveStream, mut expected: &[u8], seed: u64) {
    let (mut random, mut buf) = (fastrand::Rng::with_seed(seed), vec![0; 30_000]);
    while !expected.is_empty() {
        let room = random.usize(1..buf.len());
        let count = stream.read(&mut buf[..room]).await.expect("199: both directions work at once");
        assert!(count > 0, "199: the end comes only after the peer has closed");
        assert!(expected.starts_with(&buf[..count]), "199: bytes arrive as they were written");
        expected = &expected[count..];
    }
}

pub(super) async fn check_half_close<A, B>(make: &impl AsyncFn() -> (A, B))
where
    A: HalfCloseableStream + 'static,
    B: HalfCloseableStream + 'static,
{
    let (one, other) = make().await;
    let end = async {
        one.write_all(b"last words").await.expect("200: it is open");
        one.finish().await.expect("200: a direction can be ended");
        one.finish().await.expect("200: it can be ended again");
    };
    let (_, all) = join!(end, drain(&other));
    assert_eq!(all.expect("200: the end is no error"), b"last words", "200: what was written comes before the end");
    for (what, result) in [
        ("`write_all`", one.write_all(b"x").await),
        ("an empty `write_all`", one.write_all(b"").await),
        ("`writable`", one.writable().await),
    ] {
        assert!(result.as_ref().is_err_and(is_closed), "200: {what} after the end is `Closed`, not {result:?}");
    }
    let up = bytes(300_000, 200);
    let send = async {
        other.write_all(&up).await.expect("200: the other direction goes on");
        other.finish().await.expect("200: it can be ended as well");
    };
    let (_, back) = join!(send, drain(&one));
    assert!(back.expect("200: the other direction goes on") == up, "200: all of the other direction arrives");
}
