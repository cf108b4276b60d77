//! Behaviours 192, 197, 198 and 200, of a stream that has no room.

use std::io;
use std::pin::pin;
use std::sync::LazyLock;

use futures_util::poll;
use trioxide_io::stream::{HalfCloseableStream, ReceiveStream, SendStream};
use trioxide_io::{is_busy, is_closed};
use trioxide_runtime::{checkpoint, nursery};

use super::waits;

pub(super) async fn check<S, R>(make: &impl AsyncFn() -> (S, R))
where
    S: SendStream + 'static,
    R: ReceiveStream + 'static,
{
    second_writer_is_busy(clogged(make).await).await;
    closing_wakes_a_writer(clogged(make).await).await;
    room_comes_with_a_read(clogged(make).await).await;
    room_comes_when_the_reader_goes(clogged(make).await).await;
    the_reader_has_gone_before(clogged(make).await).await;
}

/// A pair whose first end really has no room. An event that was fetched before may come afterwards, and there may be room after all.
async fn clogged<S: SendStream, R: ReceiveStream>(make: &impl AsyncFn() -> (S, R)) -> (S, R) {
    'mistaken: loop {
        let (tx, rx) = make().await;
        {
            let mut room = pin!(tx.writable());
            for _ in 0..3 {
                if poll!(room.as_mut()).is_ready() {
                    continue 'mistaken;
                }
                checkpoint().await;
            }
        }
        return (tx, rx);
    }
}

/// More than any stream takes while nobody reads.
fn too_much() -> &'static [u8] {
    static MUCH: LazyLock<Vec<u8>> = LazyLock::new(|| vec![7; 24 << 20]);
    &MUCH
}

fn assert_busy(what: &str, result: io::Result<()>) {
    assert!(result.as_ref().is_err_and(is_busy), "192: {what} is busy, not {result:?}");
}

async fn second_writer_is_busy((tx, rx): (impl SendStream, impl ReceiveStream)) {
    {
        let mut first = pin!(tx.write_all(too_much()));
        waits(first.as_mut(), 192, "a writer without room").await;
        assert_busy("a write beside a write", tx.write_all(b"x").await);
        assert_busy("an empty write beside a write", tx.write_all(b"").await);
        assert_busy("a wait for room beside a write", tx.writable().await);
    }
    {
        let mut first = pin!(tx.writable());
        if poll!(first.as_mut()).is_pending() {
            assert_busy("a write beside a wait for room", tx.write_all(b"x").await);
            assert_busy("a wait for room beside another", tx.writable().await);
        }
    }
    drop(rx);
}

async fn closing_wakes_a_writer((tx, _rx): (impl SendStream, impl ReceiveStream)) {
    let mut write = pin!(tx.write_all(too_much()));
    waits(write.as_mut(), 197, "a writer without room").await;
    tx.close();
    let written = write.await;
    assert!(written.as_ref().is_err_and(is_closed), "197: one's own writer is told `Closed`, not {written:?}");
}

async fn room_comes_with_a_read((tx, rx): (impl SendStream, impl ReceiveStream + 'static)) {
    nursery(async |n| {
        n.spawn(async move {
            let mut buf = vec![0; 1 << 20];
            while !matches!(rx.read(&mut buf).await, Ok(0) | Err(_)) {}
        });
        tx.writable().await.expect("198: there is room once the reader reads");
        n.cancel("there was room");
    })
    .await;
}

async fn room_comes_when_the_reader_goes((tx, rx): (impl SendStream, impl ReceiveStream)) {
    let mut write = pin!(tx.write_all(too_much()));
    waits(write.as_mut(), 198, "a writer without room").await;
    drop(rx);
    let written = write.await;
    assert!(written.is_err_and(|error| !is_closed(&error)), "198: a write ends with an error when the reader goes");
}

async fn the_reader_has_gone_before((tx, rx): (impl SendStream, impl ReceiveStream)) {
    drop(rx);
    // Either is fine, for ever waiting is not.
    let _ended = tx.writable().await;
}

pub(super) async fn ending_is_busy<S, R>(make: &impl AsyncFn() -> (S, R))
where
    S: HalfCloseableStream + 'static,
    R: ReceiveStream + 'static,
{
    let (tx, rx) = clogged(make).await;
    let mut write = pin!(tx.write_all(too_much()));
    waits(write.as_mut(), 200, "a writer without room").await;
    let finished = tx.finish().await;
    assert!(finished.as_ref().is_err_and(is_busy), "200: to end while another writes is busy, not {finished:?}");
    drop(rx);
    let written = write.await;
    assert!(written.is_err_and(|error| !is_closed(&error)), "200: that has ended nothing");
}
