//! Waiting for descriptors of any kind.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use trioxide_io::{Async, is_busy, is_closed, pipe};
use trioxide_runtime::{CancelScope, checkpoint, move_on_after, nursery};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, is_checkpoint, new_pipe, waiting, waits};

fn pair() -> (Async<UnixStream>, Async<UnixStream>) {
    let (one, other) = UnixStream::pair().unwrap();
    (Async::new(one).unwrap(), Async::new(other).unwrap())
}

/// Reads what is there.
fn drain(end: &Async<UnixStream>) {
    while end.try_read_with(|mut stream| stream.read(&mut [0; 4096])).is_ok() {}
}

/// Writes what there is room for.
fn clog(end: &Async<UnixStream>) {
    while end.try_write_with(|mut stream| stream.write(&[0; 4096])).is_ok() {}
}

#[test]
fn c215_waiting_blocks_wakes_and_can_be_cancelled() {
    on_each(ALL, async || {
        let (one, other) = pair();
        assert!(is_checkpoint(one.readable()).await);
        assert!(is_checkpoint(one.writable()).await);
        one.writable().await.unwrap();
        {
            let readable = waiting(|| drain(&one), || one.readable()).await;
            other.write_with(|mut stream| stream.write(b"x")).await.unwrap();
            readable.await.unwrap();
        }
        let scope = CancelScope::new();
        let handle = scope.handle();
        let readable = waiting(|| drain(&one), || one.readable()).await;
        let cut = futures_util::future::join(scope.run(readable), async {
            checkpoint().await;
            handle.cancel("enough");
        });
        assert!(cut.await.0.is_err());
        let writable = waiting(|| clog(&one), || one.writable()).await;
        other.readable().await.unwrap();
        drain(&other);
        writable.await.unwrap();
    });
}

#[test]
fn c215_waiting_with_a_time_out() {
    on_each_with_clock(ALL, async |clock| {
        let (one, other) = pair();
        let hour = Duration::from_secs(3600);
        assert!(move_on_after(hour, one.readable()).await.is_none());
        assert!(clock.elapsed() >= hour);
        drop(other);
        one.readable().await.unwrap();
        assert_eq!(one.read_with(|mut stream| stream.read(&mut [0])).await.unwrap(), 0);
    });
}

#[test]
fn c216_two_waiters_in_one_direction_are_busy_and_one_in_each_is_fine() {
    on_each(ALL, async || {
        let (one, other) = pair();
        one.writable().await.unwrap();
        let readable = waiting(|| drain(&one), || one.readable()).await;
        let writable = waiting(|| clog(&one), || one.writable()).await;
        let error = one.readable().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "trioxide: `Async::readable` while another task is in the same direction: the bytes of the two would mix; let one task do it, or hold a lock"
        );
        assert!(is_busy(&one.writable().await.unwrap_err()));
        assert!(is_busy(&one.read_with(|mut stream| stream.read(&mut [0])).await.unwrap_err()));
        assert!(is_busy(&one.try_write_with(|mut stream| stream.write(b"x")).unwrap_err()));
        other.readable().await.unwrap();
        drain(&other);
        other.write_with(|mut stream| stream.write(b"x")).await.unwrap();
        readable.await.unwrap();
        writable.await.unwrap();
    });
}

#[test]
fn c216_who_has_ended_is_no_longer_in_the_way() {
    on_each(ALL, async || {
        let (one, other) = pair();
        let mut first = pin!(one.read_with(|mut stream| stream.read(&mut [0; 8])));
        waits(first.as_mut()).await;
        other.write_with(|mut stream| stream.write(b"x")).await.unwrap();
        assert_eq!(first.as_mut().await.unwrap(), 1);
        // Not dropped yet.
        other.write_with(|mut stream| stream.write(b"yz")).await.unwrap();
        assert_eq!(one.read_with(|mut stream| stream.read(&mut [0; 8])).await.unwrap(), 2);
    });
}

#[test]
fn c217_closing_wakes_both_directions_and_later_calls_fail_at_once() {
    on_each(ALL, async || {
        let (one, _other) = pair();
        one.writable().await.unwrap();
        let readable = waiting(|| drain(&one), || one.readable()).await;
        let writable = waiting(|| clog(&one), || one.writable()).await;
        one.close();
        let error = readable.await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "trioxide: `Async::readable` on what this program has closed with `close`; cancel its users before closing, or take this for the end"
        );
        assert!(is_closed(&writable.await.unwrap_err()));
        assert!(one.is_closed());
        assert!(is_closed(&one.readable().await.unwrap_err()));
        assert!(is_closed(&one.write_with(|mut stream| stream.write(b"x")).await.unwrap_err()));
        assert!(is_closed(&one.try_read_with(|mut stream| stream.read(&mut [0])).unwrap_err()));
    });
}

#[test]
fn c217_what_cannot_be_waited_for_says_so() {
    on_each(&[1], async || {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = Async::new(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "trioxide: `Async::new` on a descriptor that cannot be waited for, such as a file on a disk; read and write it in `blocking`"
        );
    });
}

#[test]
fn c218_a_descriptor_that_lives_on_in_a_duplicate_does_not_disturb() {
    on_each(ALL, async || {
        let (one, other) = UnixStream::pair().unwrap();
        let twin = one.try_clone().unwrap();
        let registered = Async::new(one).unwrap();
        drop(registered); // the system goes on reporting it, under a key that nobody knows any more
        (&other).write_all(b"x").unwrap();
        let (reader, writer) = pair();
        writer.write_with(|mut stream| stream.write(b"y")).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(reader.read_with(|mut stream| stream.read(&mut buf)).await.unwrap(), 1);
        drop(twin);
    });
}

#[test]
fn c219_an_operation_in_a_cancelled_scope_takes_nothing_and_would_block_is_tried_again() {
    on_each(ALL, async || {
        let (one, other) = pair();
        other.write_with(|mut stream| stream.write(b"x")).await.unwrap();
        let mut calls = 0;
        assert!(
            is_checkpoint(one.read_with(|_| -> io::Result<()> { unreachable!("it is cut before it tries") })).await
        );
        // Called for nothing, interrupted, and then as it should be.
        let read = one.read_with(|mut stream| {
            calls += 1;
            match calls {
                1 => Err(ErrorKind::Interrupted.into()),
                _ => stream.read(&mut [0; 8]),
            }
        });
        assert_eq!(read.await.unwrap(), 1);
        assert_eq!(calls, 2);
        let mut tries = 0;
        let mut read = pin!(one.read_with(|mut stream| {
            tries += 1;
            if tries == 1 { Err(ErrorKind::WouldBlock.into()) } else { stream.read(&mut [0; 8]) }
        }));
        waits(read.as_mut()).await;
        other.write_with(|mut stream| stream.write(b"xyz")).await.unwrap();
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn c223_closing_an_old_end_again_does_not_touch_a_new_one_with_its_number() {
    on_each(ALL, async || {
        let (sender, receiver) = new_pipe();
        let sender = Arc::new(sender);
        let late = sender.clone();
        late.close();
        drop(sender);
        drop(receiver);
        // The old writer is still open here, closed for its users; another pipe is not disturbed by closing it again.
        let (sender, receiver) = new_pipe();
        let mut buf = [0; 8];
        let mut read = pin!(receiver.read(&mut buf));
        waits(read.as_mut()).await;
        late.close();
        drop(late);
        waits(read.as_mut()).await;
        sender.write_all(b"x").await.unwrap();
        assert_eq!(read.await.unwrap(), 1);
    });
}

#[test]
fn c224_closing_between_the_wake_up_and_the_system_call_is_closed() {
    on_each(ALL, async || {
        let (sender, receiver) = new_pipe();
        let mut buf = [0; 8];
        let mut read = pin!(receiver.read(&mut buf));
        waits(read.as_mut()).await;
        // The byte is there, and the event on its way or come; the close is first.
        sender.write_all(b"x").await.unwrap();
        receiver.close();
        assert!(is_closed(&read.await.unwrap_err()));

        let (sender, receiver) = new_pipe();
        let much = vec![0; 1 << 20];
        let mut write = pin!(sender.write_all(&much));
        waits(write.as_mut()).await;
        receiver.read(&mut vec![0; 1 << 20]).await.unwrap();
        sender.close();
        assert!(is_closed(&write.await.unwrap_err()));
    });
}

#[test]
fn c224_a_pipe_that_is_dropped_closes_its_descriptor() {
    on_each(ALL, async || {
        let (sender, receiver) = new_pipe();
        drop(sender);
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 0);
        let (sender, receiver) = pipe().unwrap();
        drop(receiver);
        assert_eq!(sender.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        // A `futures-io` close is as good as a drop.
        let (mut sender, receiver) = pipe().unwrap();
        futures_util::AsyncWriteExt::close(&mut sender).await.unwrap();
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(is_closed(&sender.write(b"x").await.unwrap_err()));
        assert_eq!(format!("{sender:?}"), "Sender(closed)");
    });
}

#[test]
fn c221_many_descriptors_at_once() {
    on_each(ALL, async || {
        let ends: Vec<_> = (0..300).map(|_| pair()).collect();
        nursery(async |n| {
            for (one, other) in ends {
                n.spawn(async move {
                    let read = one.read_with(|mut stream| stream.read(&mut [0; 8]));
                    let write = async {
                        trioxide_runtime::checkpoint().await;
                        other.write_with(|mut stream| stream.write(b"x")).await
                    };
                    let (read, write) = futures_util::future::join(read, write).await;
                    assert_eq!((read.unwrap(), write.unwrap()), (1, 1));
                });
            }
        })
        .await;
    });
}
