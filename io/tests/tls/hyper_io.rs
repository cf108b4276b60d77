//! hyper's and tokio's traits on TLS: reads into memory that is not initialised.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::try_join;
use hyper::rt::{Read, ReadBuf, Write};
use trioxide_testing::on_each;

use crate::common::{ALL, is_checkpoint, pair, ready_pair};

#[test]
fn reads_what_is_there_up_to_the_room_and_then_the_end() {
    on_each(ALL, async || {
        let (mut client, mut server) = pair();
        let sent = async {
            let count = poll_fn(|cx| Write::poll_write(Pin::new(&mut client), cx, b"abcdef")).await?;
            poll_fn(|cx| Write::poll_flush(Pin::new(&mut client), cx)).await?;
            poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut client), cx)).await?;
            Ok::<_, io::Error>(count)
        };
        let received = async {
            let mut space = [MaybeUninit::uninit(); 4];
            let mut all = Vec::new();
            loop {
                let mut buf = ReadBuf::uninit(&mut space);
                poll_fn(|cx| Read::poll_read(Pin::new(&mut server), cx, buf.unfilled())).await?;
                if buf.filled().is_empty() {
                    return Ok(all);
                }
                all.push(buf.filled().to_vec());
            }
        };
        let (sent, received) = try_join(sent, received).await.unwrap();
        assert_eq!((sent, received), (6, vec![b"abcd".to_vec(), b"ef".to_vec()]));
    });
}

#[test]
fn a_read_that_waits_is_cut_and_has_taken_nothing() {
    on_each(ALL, async || {
        let (client, mut server) = ready_pair().await;
        let mut space = [MaybeUninit::uninit(); 4];
        let mut buf = ReadBuf::uninit(&mut space);
        let waits = poll_fn(|cx| Poll::Ready(Read::poll_read(Pin::new(&mut server), cx, buf.unfilled()).is_pending()));
        assert!(waits.await, "nothing is there, and the future is dropped");
        assert!(is_checkpoint(poll_fn(|cx| Read::poll_read(Pin::new(&mut server), cx, buf.unfilled()))).await);
        client.write_all(b"x").await.unwrap();
        poll_fn(|cx| Read::poll_read(Pin::new(&mut server), cx, buf.unfilled())).await.unwrap();
        assert_eq!(buf.filled(), b"x");
    });
}

#[cfg(feature = "tokio-io")]
#[test]
fn tokio_s_reads_keep_what_was_filled() {
    on_each(ALL, async || {
        let (client, mut server) = ready_pair().await;
        client.write_all(b"abc").await.unwrap();
        let mut space = [MaybeUninit::uninit(); 4];
        let mut buf = tokio::io::ReadBuf::uninit(&mut space);
        buf.put_slice(b"_");
        poll_fn(|cx| tokio::io::AsyncRead::poll_read(Pin::new(&mut server), cx, &mut buf)).await.unwrap();
        assert_eq!(buf.filled(), b"_abc");
        // Without room it is ready at once.
        poll_fn(|cx| tokio::io::AsyncRead::poll_read(Pin::new(&mut server), cx, &mut buf)).await.unwrap();
        assert_eq!(buf.filled(), b"_abc");
    });
}
