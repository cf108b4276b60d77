//! Streams that go both ways: TCP, Unix sockets.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;

use trioxide_io::{is_busy, is_closed};
use trioxide_runtime::{NurseryError, nursery};

use crate::common::{Both, Numbers, Rx, bytes, on_two_way, too_much, waits};

#[test]
fn c199_a_mebibyte_each_way_at_once_in_pieces_of_all_sizes() {
    async fn test(one: impl Both, other: impl Both) {
        let (up, down) = (bytes(1 << 20, 1), bytes(1 << 20, 2));
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            exchange(&n, one, up.clone(), down.clone(), 3);
            exchange(&n, other, down, up, 4);
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
    }
    on_two_way!(test);
}

/// One task writes, another reads, each in pieces of its own sizes.
fn exchange(n: &trioxide_runtime::Nursery<io::Error>, end: impl Both, out: Vec<u8>, expected: Vec<u8>, seed: u32) {
    let writer = Arc::new(end);
    let reader = writer.clone();
    drop(n.spawn(async move {
        let (mut numbers, mut left) = (Numbers(seed), &out[..]);
        while !left.is_empty() {
            let (piece, rest) = left.split_at((1 + numbers.next(30_000)).min(left.len()));
            writer.write_all(piece).await?;
            left = rest;
        }
        writer.finish()
    }));
    drop(n.spawn(async move {
        let (mut numbers, mut got, mut buf) = (Numbers(seed + 10), Vec::new(), vec![0; 30_000]);
        loop {
            let size = 1 + numbers.next(buf.len() - 1);
            match Rx::read(&*reader, &mut buf[..size]).await? {
                0 => break,
                count => got.extend_from_slice(&buf[..count]),
            }
        }
        assert!(got == expected);
        Ok::<_, io::Error>(())
    }));
}

#[test]
fn c199_the_end_comes_after_the_peer_has_closed() {
    async fn test(one: impl Both, other: impl Both) {
        drop(one);
        for _ in 0..3 {
            assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0);
        }
    }
    on_two_way!(test);
}

#[test]
fn c200_one_direction_ends_and_the_other_goes_on() {
    async fn test(one: impl Both, other: impl Both) {
        one.write_all(b"last words").await.unwrap();
        one.finish().unwrap();
        one.finish().unwrap();
        let mut buf = [0; 64];
        assert_eq!(other.read(&mut buf).await.unwrap(), 10);
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
        // Writing after that is our own mistake.
        assert!(is_closed(&one.write_all(b"x").await.unwrap_err()));
        assert!(is_closed(&one.write_all(b"").await.unwrap_err()));
        assert!(is_closed(&one.writable().await.unwrap_err()));
        // The other direction still works, for a long time.
        let (up, mut back) = (bytes(300_000, 200), Vec::new());
        let send = async {
            other.write_all(&up).await?;
            other.finish()
        };
        let receive = async {
            let mut buf = vec![0; 50_000];
            loop {
                match one.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    count => back.extend_from_slice(&buf[..count]),
                }
            }
        };
        futures_util::future::try_join(send, receive).await.unwrap();
        assert!(back == up);
    }
    on_two_way!(test);
}

#[test]
fn c200_ending_while_another_writes_is_busy() {
    async fn test(one: impl Both, other: impl Both) {
        let much = too_much();
        let mut write = pin!(one.write_all(much));
        waits(write.as_mut()).await;
        let error = one.finish().unwrap_err();
        assert!(is_busy(&error) && error.kind() == ErrorKind::ResourceBusy);
        // It has ended nothing.
        Rx::close(&other);
        drop(other);
        assert!(!is_closed(&write.await.unwrap_err()));
    }
    on_two_way!(test);
}
