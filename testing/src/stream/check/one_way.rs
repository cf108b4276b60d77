//! Behaviours 191 to 197.

use std::pin::pin;
use std::sync::Arc;

use trioxide_io::stream::{ReceiveStream, SendStream};
use trioxide_io::{is_busy, is_closed};
use trioxide_runtime::{checkpoint, join, nursery};

use super::{bytes, drain, is_cut, waits};

pub(super) async fn check<S, R>(make: &impl AsyncFn() -> (S, R))
where
    S: SendStream + 'static,
    R: ReceiveStream + 'static,
{
    bytes_arrive(make().await).await;
    all_are_checkpoints(make().await).await;
    second_reader_is_busy(make().await).await;
    receiver_is_gone(make().await).await;
    own_end_is_closed(make().await).await;
    all_arrives_before_the_end(make().await).await;
    closed_by_force(make().await).await;
    works_after_cancelled_operations(make().await).await;
    closing_wakes_a_reader(make().await).await;
}

async fn bytes_arrive((tx, rx): (impl SendStream, impl ReceiveStream)) {
    let mut buf = [0; 8];
    let (written, read) = join!(tx.write_all(b"x"), rx.read(&mut buf));
    written.expect("191: a byte can be written");
    assert_eq!(read.expect("191: a byte can be read"), 1, "191: one byte was written");
    assert_eq!(buf[0], b'x', "191: the byte arrives as it was");
    tx.write_all(b"").await.expect("191: an empty write is fine");
    assert_eq!(rx.read(&mut []).await.expect("191: an empty read is fine"), 0);
    let (written, read) = join!(tx.write_all(b"yz"), async {
        let count = rx.read(&mut buf[..1]).await?;
        assert_eq!((count, buf[0]), (1, b'y'), "191: no more is read than there is room for");
        rx.read(&mut buf).await
    });
    written.expect("191: bytes can be written");
    assert_eq!(read.expect("191: what was left can be read"), 1, "191: the rest is there for the next read");
    assert_eq!(buf[0], b'z');
}

async fn all_are_checkpoints((tx, rx): (impl SendStream, impl ReceiveStream)) {
    assert!(is_cut(tx.write_all(b"!")).await, "191: `write_all` is a checkpoint");
    assert!(is_cut(tx.write_all(b"")).await, "191: an empty `write_all` is a checkpoint");
    assert!(is_cut(tx.writable()).await, "191: `writable` is a checkpoint");
    assert!(is_cut(rx.read(&mut [0; 8])).await, "191: `read` is a checkpoint");
    assert!(is_cut(rx.read(&mut [])).await, "191: an empty `read` is a checkpoint");
}

async fn second_reader_is_busy((tx, rx): (impl SendStream, impl ReceiveStream)) {
    let (mut one, mut two) = ([0; 8], [0; 8]);
    let mut first = pin!(rx.read(&mut one));
    waits(first.as_mut(), 192, "a reader without bytes").await;
    let second = rx.read(&mut two).await;
    assert!(second.as_ref().is_err_and(is_busy), "192: the second reader is busy, not {second:?}");
    let (written, read) = join!(tx.write_all(b"x"), first);
    written.expect("192: a byte can be written");
    assert_eq!(read.expect("192: the first reader is not harmed"), 1);
}

async fn receiver_is_gone((tx, rx): (impl SendStream, impl ReceiveStream)) {
    rx.close();
    drop(rx);
    let error = loop {
        if let Err(error) = tx.write_all(&[0; 1000]).await {
            break error;
        }
    };
    assert!(!is_closed(&error), "193: it was the peer who has closed: {error}");
    for _ in 0..3 {
        let again = tx.write_all(b"x").await;
        assert!(again.as_ref().is_err_and(|error| !is_closed(error)), "193: the error stays, not {again:?}");
    }
}

async fn own_end_is_closed((tx, rx): (impl SendStream, impl ReceiveStream)) {
    for _ in 0..3 {
        tx.close();
    }
    for (what, result) in [
        ("`write_all`", tx.write_all(b"x").await),
        ("an empty `write_all`", tx.write_all(b"").await),
        ("`writable`", tx.writable().await),
    ] {
        assert!(result.as_ref().is_err_and(is_closed), "193: {what} after `close` is `Closed`, not {result:?}");
    }
    for _ in 0..3 {
        rx.close();
    }
    for room in [8, 0] {
        let read = rx.read(&mut vec![0; room]).await;
        assert!(read.as_ref().is_err_and(is_closed), "193: `read` after `close` is `Closed`, not {read:?}");
    }
}

async fn all_arrives_before_the_end((tx, rx): (impl SendStream, impl ReceiveStream)) {
    let out = bytes(30_000, 194);
    let write = async {
        tx.write_all(&out).await.expect("194: there is a reader");
        drop(tx);
    };
    let (_, all) = join!(write, drain(&rx));
    assert!(all.expect("194: the end is no error") == out, "194: all that was written before the close arrives");
    for _ in 0..3 {
        let end = rx.read(&mut [0; 8]).await;
        assert!(matches!(end, Ok(0)), "194: the end stays, not {end:?}");
    }
}

async fn closed_by_force((tx, rx): (impl SendStream, impl ReceiveStream)) {
    tx.close();
    drop(tx);
    let read = rx.read(&mut [0; 8]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "195: the end or an error, not {read:?}");
    let closed = read.as_ref().is_err_and(is_closed);
    assert!(!closed, "195: it was the peer who has closed");
}

async fn works_after_cancelled_operations((tx, rx): (impl SendStream, impl ReceiveStream)) {
    assert!(is_cut(tx.write_all(b"cut")).await);
    assert!(is_cut(rx.read(&mut [0; 8])).await);
    let write = async {
        tx.write_all(b"kept").await.expect("196: a write works after one that was cancelled before it began");
        drop(tx);
    };
    let (_, all) = join!(write, drain(&rx));
    assert_eq!(all.expect("196: so does a read"), b"kept", "196: what was cancelled before it began did nothing");
}

async fn closing_wakes_a_reader((tx, rx): (impl SendStream, impl ReceiveStream + 'static)) {
    let rx = Arc::new(rx);
    let reader = rx.clone();
    nursery(async |n| {
        n.spawn(async move {
            let read = reader.read(&mut [0; 8]).await;
            assert!(read.as_ref().is_err_and(is_closed), "197: one's own reader is told `Closed`, not {read:?}");
        });
        checkpoint().await;
        rx.close();
    })
    .await;
    drop(tx);
}
