//! Memory streams, lockstep streams, and what the suites find.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt, poll};
use trioxide_io::stream::{ReceiveStream, Resource, SendStream};
use trioxide_io::{is_busy, is_closed};
use trioxide_runtime::{checkpoint, run};
use trioxide_sync::Event;
use trioxide_testing::stream::*;
use trioxide_testing::{assert_checkpoints, on_each};

use crate::common::ALL;

fn taken(send: &MemorySendStream, most: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; most];
    let count = send.get_data_nowait(&mut buf)?;
    buf.truncate(count);
    Ok(buf)
}

#[test]
fn c118_a_memory_sender_gives_what_was_sent_also_in_pieces() {
    on_each(ALL, async || {
        let send = MemorySendStream::new();
        assert_checkpoints(async || send.write_all(b"123").await).await.unwrap();
        assert_checkpoints(async || send.writable().await).await.unwrap();
        assert_eq!(taken(&send, 2).unwrap(), b"12");
        assert_eq!(taken(&send, 9).unwrap(), b"3");
        assert_eq!(taken(&send, 9).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut buf = [0; 8];
        let mut get = Box::pin(send.get_data(&mut buf));
        assert!(poll!(get.as_mut()).is_pending());
        send.write_all(b"late").await.unwrap();
        assert_eq!(get.await.unwrap(), 4);
        // What came before the close can still be taken.
        send.write_all(b"last").await.unwrap();
        send.close();
        assert!(is_closed(&send.write_all(b"x").await.unwrap_err()));
        assert_eq!(send.get_data(&mut buf).await.unwrap(), 4);
        assert_eq!(send.get_data(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn c118_hooks_run_after_the_operation_and_hold_the_direction() {
    on_each(ALL, async || {
        let (send, gate) = (Arc::new(MemorySendStream::new()), Arc::new(Event::new()));
        let (hook_gate, hook_send, closed) = (gate.clone(), Arc::downgrade(&send), Arc::new(AtomicUsize::new(0)));
        send.set_send_all_hook(move || {
            let (gate, send) = (hook_gate.clone(), hook_send.clone());
            async move {
                assert_eq!(taken(&send.upgrade().unwrap(), 9)?, b"before the hook"[..9]);
                gate.wait().await;
                Err(ErrorKind::TimedOut.into())
            }
        });
        let counted = closed.clone();
        send.set_close_hook(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        {
            let mut write = Box::pin(send.write_all(b"before the hook"));
            for _ in 0..3 {
                assert!(poll!(write.as_mut()).is_pending());
                checkpoint().await;
            }
            assert!(is_busy(&send.write_all(b"x").await.unwrap_err()));
            assert!(is_busy(&send.writable().await.unwrap_err()));
            gate.set();
            assert_eq!(write.await.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        send.writable().await.unwrap();
        send.set_wait_send_all_might_not_block_hook(async || Err(ErrorKind::TimedOut.into()));
        assert_eq!(send.writable().await.unwrap_err().kind(), ErrorKind::TimedOut);
        send.close();
        drop(send);
        assert_eq!(closed.load(Ordering::Relaxed), 2, "once by hand, and once by the drop");
    });
}

#[test]
fn c119_a_memory_receiver_ends_once_and_loses_what_was_pending_when_it_is_closed() {
    on_each(ALL, async || {
        let receive = MemoryReceiveStream::new();
        let hooked = Arc::new(AtomicUsize::new(0));
        let count = hooked.clone();
        receive.set_receive_some_hook(move || {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        receive.put_data(b"abc").unwrap();
        let mut buf = [0; 2];
        assert_eq!(receive.read(&mut buf).await.unwrap(), 2);
        assert_eq!((&buf, hooked.load(Ordering::Relaxed)), (b"ab", 1));
        receive.put_eof();
        receive.put_eof();
        assert!(is_closed(&receive.put_data(b"x").unwrap_err()));
        assert_eq!(receive.read(&mut buf).await.unwrap(), 1);
        assert_eq!(receive.read(&mut buf).await.unwrap(), 0);

        let receive = MemoryReceiveStream::new();
        receive.put_data(b"pending").unwrap();
        receive.close();
        assert!(is_closed(&receive.read(&mut buf).await.unwrap_err()));
        assert!(is_closed(&receive.put_data(b"x").unwrap_err()));
    });
}

#[test]
fn c120_the_pump_moves_no_more_than_it_may_and_says_whether_it_did() {
    on_each(ALL, async || {
        let (send, receive) = (MemorySendStream::new(), MemoryReceiveStream::new());
        let pump = |most| memory_stream_pump(&send, &receive, most).unwrap();
        assert!(!pump(None));
        send.write_all(b"abcdef").await.unwrap();
        let mut buf = [0; 8];
        assert!(pump(Some(4)));
        assert_eq!(receive.read(&mut buf).await.unwrap(), 4);
        assert!(pump(Some(4)));
        assert!(!pump(Some(4)));
        assert_eq!(receive.read(&mut buf).await.unwrap(), 2);
        send.close();
        assert!(pump(None), "the end is passed on");
        assert_eq!(receive.read(&mut buf).await.unwrap(), 0);
        receive.close();
        let broken = memory_stream_pump(&send, &receive, None);
        assert!(matches!(&broken, Ok(true)), "the end needs no reader: {broken:?}");

        let (send, receive) = (MemorySendStream::new(), MemoryReceiveStream::new());
        send.write_all(b"x").await.unwrap();
        receive.close();
        assert_eq!(memory_stream_pump(&send, &receive, None).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn c121_memory_and_lockstep_streams_pass_the_suites() {
    on_each(ALL, async || {
        check_one_way_stream(async || memory_stream_one_way_pair()).await;
        check_half_closeable_stream(async || memory_stream_pair()).await;
        check_one_way_stream(async || lockstep_stream_one_way_pair()).await;
        check_half_closeable_stream(async || lockstep_stream_pair()).await;
        check_clogged_stream(async || lockstep_stream_one_way_pair()).await;
    });
}

/// Through `futures-io`'s traits, by value and by reference.
#[test]
fn the_traits_of_others_carry_the_same_bytes() {
    on_each(ALL, async || {
        let (send, mut receive) = memory_stream_one_way_pair();
        AsyncWriteExt::write_all(&mut &send, b"hello").await.unwrap();
        let mut buf = [0; 5];
        receive.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"hello");
        let mut send = send;
        AsyncWriteExt::close(&mut send).await.unwrap();
        assert_eq!(AsyncReadExt::read(&mut &receive, &mut buf).await.unwrap(), 0);

        let (mut send, mut receive) = lockstep_stream_one_way_pair();
        let write = async {
            send.write_all(b"hello").await.unwrap();
            AsyncWriteExt::close(&mut send).await.unwrap();
        };
        let read = async {
            let mut all = Vec::new();
            receive.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"hello");
        };
        futures_util::join!(write, read);
    });
}

/// A write that is dropped half-way writes no more.
#[test]
fn a_lockstep_write_that_is_dropped_takes_back_what_was_not_read() {
    on_each(ALL, async || {
        let (send, receive) = lockstep_stream_one_way_pair();
        let mut buf = [0; 3];
        {
            let mut write = Box::pin(SendStream::write_all(&send, b"abcdef"));
            assert!(poll!(write.as_mut()).is_pending());
            assert_eq!(ReceiveStream::read(&receive, &mut buf).await.unwrap(), 3);
        }
        let (written, read) =
            trioxide_runtime::join!(SendStream::write_all(&send, b"new"), ReceiveStream::read(&receive, &mut buf));
        written.unwrap();
        assert_eq!((read.unwrap(), &buf), (3, b"new"));
    });
}

/// A receiver that does wrong, in one way.
struct Wrong {
    inner: MemoryReceiveStream,
    fault: Fault,
}

#[derive(Clone, Copy)]
enum Fault {
    /// Says that it has read one byte less.
    Swallows,
    /// Reads before it looks whether it is cancelled.
    NoCheckpoint,
    /// Takes its own end for the peer's.
    EndsWhenClosed,
}

impl Resource for Wrong {
    fn close(&self) {
        self.inner.close();
    }
}

impl ReceiveStream for Wrong {
    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self.fault {
            Fault::Swallows => self.inner.read(buf).await.map(|count| count.saturating_sub(1)),
            Fault::NoCheckpoint if buf.is_empty() => Ok(0),
            Fault::NoCheckpoint => self.inner.read(buf).await,
            Fault::EndsWhenClosed => self.inner.read(buf).await.or_else(|error| match is_closed(&error) {
                true => Ok(0),
                false => Err(error),
            }),
        }
    }
}

#[test]
fn the_suites_find_what_is_wrong() {
    for (fault, text) in [
        (Fault::Swallows, "191: one byte was written"),
        (Fault::NoCheckpoint, "191: an empty `read` is a checkpoint"),
        (Fault::EndsWhenClosed, "193: `read` after `close` is `Closed`, not Ok(0)"),
    ] {
        let panic = run(async {
            let make = async || {
                let (send, inner) = memory_stream_one_way_pair();
                (send, Wrong { inner, fault })
            };
            std::panic::AssertUnwindSafe(check_one_way_stream(make)).catch_unwind().await
        })
        .expect_err("it is wrong");
        let said =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        assert!(said.as_ref().is_some_and(|said| said.contains(text)), "{said:?} and not {text}");
    }
}
