//! One-way streams: TCP, Unix sockets, pipes.

use std::io::ErrorKind;
use std::pin::pin;

use trioxide_io::{is_busy, is_closed};
use trioxide_runtime::nursery;

use crate::common::{ALL, Rx, Tx, bytes, is_checkpoint, new_pipe, on_one_way, tcp, too_much, waiting, waits};

/// Reads until the end.
async fn drain(rx: &impl Rx) -> std::io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 100_000]);
    loop {
        match rx.read(&mut buf).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buf[..count]),
        }
    }
}

#[test]
fn c191_a_byte_arrives_and_every_call_is_a_checkpoint() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        let mut buf = [0; 8];
        tx.write_all(b"x").await.unwrap();
        assert_eq!(rx.read(&mut buf).await.unwrap(), 1);
        assert_eq!(buf[0], b'x');
        // An empty write is fine, and says whether the stream is open; an empty read is no end.
        tx.write_all(b"").await.unwrap();
        assert_eq!(rx.read(&mut []).await.unwrap(), 0);
        tx.write_all(b"yz").await.unwrap();
        assert!(is_checkpoint(tx.write_all(b"!")).await);
        assert!(is_checkpoint(tx.write_all(b"")).await);
        assert!(is_checkpoint(tx.write(b"!")).await);
        assert!(is_checkpoint(tx.writable()).await);
        assert!(is_checkpoint(rx.read(&mut buf)).await);
        assert!(is_checkpoint(rx.read(&mut [])).await);
        assert!(is_checkpoint(rx.readable()).await);
        drop(tx);
        assert_eq!(drain(&rx).await.unwrap(), b"yz");
    }
    on_one_way!(test);
}

#[test]
fn c192_two_in_one_direction_are_busy() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        let (mut one, mut two) = ([0; 8], [0; 8]);
        {
            let mut first = pin!(rx.read(&mut one));
            waits(first.as_mut()).await;
            let error = rx.read(&mut two).await.unwrap_err();
            assert!(is_busy(&error) && error.kind() == ErrorKind::ResourceBusy, "{error}");
            assert!(is_busy(&rx.readable().await.unwrap_err()));
            // The first one is not harmed.
            tx.write_all(b"x").await.unwrap();
            assert_eq!(first.await.unwrap(), 1);
        }
        {
            let _first = waiting(|| drop(rx.try_read(&mut [0; 8])), || rx.readable()).await;
            assert!(is_busy(&rx.read(&mut two).await.unwrap_err()));
        }
        let much = too_much();
        {
            let mut first = pin!(tx.write_all(much));
            waits(first.as_mut()).await;
            assert!(is_busy(&tx.write_all(b"x").await.unwrap_err()));
            assert!(is_busy(&tx.write_all(b"").await.unwrap_err()));
            assert!(is_busy(&tx.write(b"x").await.unwrap_err()));
            assert!(is_busy(&tx.writable().await.unwrap_err()));
            assert!(is_busy(&tx.try_write(b"x").unwrap_err()));
            // The other direction is free.
            assert_ne!(rx.read(&mut two).await.unwrap(), 0);
        }
        // And so is this one, once the first is gone.
        rx.read(&mut vec![0; 1 << 20]).await.unwrap();
        drop(rx);
        let error = tx.write_all(much).await.unwrap_err();
        assert!(!is_busy(&error), "{error}");
    }
    on_one_way!(test);
}

#[test]
fn c193_a_receiver_that_is_gone_is_an_error_for_good_and_ones_own_end_is_closed() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        drop(rx);
        let error = loop {
            if let Err(error) = tx.write_all(&[0; 1000]).await {
                break error;
            }
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        for _ in 0..3 {
            let error = tx.write_all(b"x").await.unwrap_err();
            assert!(!is_closed(&error), "the peer closed it: {error}");
        }
        tx.close();
        tx.close();
        assert!(is_closed(&tx.write_all(b"x").await.unwrap_err()));
        let error = tx.write_all(b"").await.unwrap_err();
        assert!(is_closed(&error) && error.kind() == ErrorKind::NotConnected, "{error}");
        assert!(is_closed(&tx.writable().await.unwrap_err()));
        assert!(is_closed(&tx.try_write(b"x").unwrap_err()));
    }
    on_one_way!(test);
    async fn receiver(tx: impl Tx, rx: impl Rx) {
        tx.write_all(b"not read").await.unwrap();
        rx.close();
        rx.close();
        assert!(is_closed(&rx.read(&mut [0; 8]).await.unwrap_err()));
        assert!(is_closed(&rx.read(&mut []).await.unwrap_err()));
        assert!(is_closed(&rx.readable().await.unwrap_err()));
    }
    on_one_way!(receiver);
}

#[test]
fn c194_what_was_written_before_the_close_arrives_and_then_the_end() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        let out = bytes(30_000, 194);
        tx.write_all(&out).await.unwrap();
        drop(tx);
        assert!(drain(&rx).await.unwrap() == out);
        for _ in 0..3 {
            assert_eq!(rx.read(&mut [0; 8]).await.unwrap(), 0, "the end stays");
        }
    }
    on_one_way!(test);
}

#[test]
fn c195_a_sender_closed_by_force_is_the_end_or_an_error() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        tx.close();
        drop(tx);
        if let Ok(count) = rx.read(&mut [0; 8]).await {
            assert_eq!(count, 0);
        }
    }
    on_one_way!(test);
}

#[test]
fn c195_a_connection_that_is_reset_is_an_error_for_the_reader() {
    trioxide_testing::on_each(ALL, async || {
        let (tx, rx) = tcp().await;
        socket2::SockRef::from(&tx).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(tx);
        assert_eq!(rx.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn c196_after_operations_that_were_cancelled_before_they_began_all_is_well() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        let mut buf = [0; 8];
        assert!(is_checkpoint(tx.write_all(b"cut")).await);
        assert!(is_checkpoint(rx.read(&mut buf)).await);
        tx.write_all(b"kept").await.unwrap();
        drop(tx);
        assert_eq!(drain(&rx).await.unwrap(), b"kept");
    }
    on_one_way!(test);
}

#[test]
fn c197_closing_wakes_those_who_wait() {
    async fn reader(_tx: impl Tx, rx: impl Rx) {
        let mut buf = [0; 8];
        let mut read = pin!(rx.read(&mut buf));
        waits(read.as_mut()).await;
        rx.close();
        assert!(is_closed(&read.await.unwrap_err()));
    }
    on_one_way!(reader);
    async fn writer(tx: impl Tx, _rx: impl Rx) {
        let much = too_much();
        let mut write = pin!(tx.write_all(much));
        waits(write.as_mut()).await;
        tx.close();
        assert!(is_closed(&write.await.unwrap_err()));
    }
    on_one_way!(writer);
}

#[test]
fn c197_closing_wakes_a_task_on_another_worker() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        let rx = std::sync::Arc::new(rx);
        let reader = rx.clone();
        nursery(async |n| {
            n.spawn(async move {
                let error = reader.read(&mut [0; 8]).await.unwrap_err();
                assert!(is_closed(&error), "{error}");
            });
            trioxide_runtime::checkpoint().await;
            rx.close();
        })
        .await;
        drop(tx);
    }
    on_one_way!(test);
}

/// Fills the stream until it takes no more.
fn clog(tx: &impl Tx) {
    loop {
        match tx.try_write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn c198_waiting_for_room_waits_until_the_reader_reads() {
    async fn test(tx: impl Tx, rx: impl Rx) {
        // What a pipe or a Unix socket has room for is known at once.
        tx.writable().await.unwrap();
        let writable = waiting(|| clog(&tx), || tx.writable()).await;
        nursery(async |n| {
            n.spawn(async move {
                let mut buf = vec![0; 1 << 20];
                while !matches!(rx.read(&mut buf).await, Ok(0) | Err(_)) {}
            });
            writable.await.unwrap();
            n.cancel("there was room");
        })
        .await;
    }
    trioxide_testing::on_each(ALL, async || {
        let (tx, rx) = trioxide_io::UnixStream::pair().unwrap();
        test(tx, rx).await;
        let (tx, rx) = new_pipe();
        test(tx, rx).await;
    });
}

#[test]
fn c198_waiting_for_room_ends_when_the_reader_goes() {
    async fn before(tx: impl Tx, rx: impl Rx) {
        clog(&tx);
        drop(rx);
        let _either = tx.writable().await;
    }
    on_one_way!(before);
    async fn during(tx: impl Tx, rx: impl Rx) {
        let much = too_much();
        let mut write = pin!(tx.write_all(much));
        waits(write.as_mut()).await;
        drop(rx);
        write.await.unwrap_err();
    }
    on_one_way!(during);
}
