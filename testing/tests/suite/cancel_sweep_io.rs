//! What reads and writes streams and files, cancelled and dropped at each of its suspensions: what was not delivered is there still. Streams are those of the memory: sockets of the
//! system are no part of a simulation. All of it in virtual time.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::slot::Slot;
use tower_layer::Layer;
use tower_service::Service;
use trioxide_io::fs::{self, File};
use trioxide_io::stream::{ReceiveStream, Resource, SendStream};
use trioxide_io::{BufReader, BufWriter, Frames, TimeoutLayer, copy, write_frame};
use trioxide_runtime::{join, sleep};
use trioxide_testing::stream::{
    LockstepReceiveStream, LockstepSendStream, MemoryReceiveStream, lockstep_stream_one_way_pair,
    memory_stream_one_way_pair,
};
use trioxide_testing::{CancelSweep, CountDrops, cancel_everywhere};

const MOMENT: Duration = Duration::from_millis(1);
const TEXT: &[u8] = b"one\ntwo\nthree\nfour\n";

type Nursery = trioxide_runtime::Nursery<std::convert::Infallible>;

/// `bytes` come in pieces, with pauses.
fn comes(bytes: &'static [u8], n: &Nursery) -> MemoryReceiveStream {
    let (send, receive) = memory_stream_one_way_pair();
    n.spawn(async move {
        for piece in bytes.chunks(3) {
            sleep(MOMENT).await;
            send.write_all(piece).await.unwrap();
        }
        send.close();
    });
    receive
}

#[test]
fn reads_of_a_stream() {
    let runs = cancel_everywhere(
        async |n| (comes(TEXT, n), RefCell::new(vec![])),
        async |(stream, read)| {
            let mut buf = [0; 2];
            loop {
                let count = stream.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                read.borrow_mut().extend_from_slice(&buf[..count]);
            }
        },
        async |(stream, read), cut| {
            let (mut all, mut buf) = (read.borrow().clone(), [0; 64]);
            loop {
                let count = stream.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buf[..count]);
            }
            assert_eq!(all, TEXT, "{cut}");
        },
    );
    assert!(runs > 100, "{runs}");
}

/// A reader whose parts are taken one by one: what was not delivered is taken by the next call.
fn parts<R, P: PartialEq + std::fmt::Debug>(
    reader: impl Fn(&Nursery) -> R,
    next: impl AsyncFn(&mut R) -> Option<P>,
    expected: &[P],
) {
    let runs = cancel_everywhere(
        async |n| (Slot::new(reader(n)), RefCell::new(vec![])),
        async |(reader, read)| {
            let mut reader = reader.lend();
            while let Some(part) = next(&mut reader).await {
                read.borrow_mut().push(part);
            }
        },
        async |(reader, read), cut| {
            let mut reader = reader.lend();
            let mut rest = vec![];
            while let Some(part) = next(&mut reader).await {
                rest.push(part);
            }
            read.borrow_mut().append(&mut rest);
            assert_eq!(*read.borrow(), expected, "{cut}");
        },
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn buffered_reads() {
    let reader = |n: &Nursery| BufReader::new(comes(TEXT, n));
    let lines = ["one", "two", "three", "four"].map(str::to_owned);
    parts(reader, async |reader| reader.read_line(100).await.unwrap(), &lines);
    let until = ["one", "\ntwo\nthre", "e", "\nfour\n"].map(|part| part.as_bytes().to_vec());
    parts(reader, async |reader| reader.read_until(b'e', 100).await.unwrap(), &until);
    // 19 bytes: the last one by itself.
    let exact = ["one\ntw", "o\nthre", "e\nfour"].map(|part| part.as_bytes().to_vec());
    parts(reader, async |reader| reader.read_exact(6).await.ok(), &exact);
}

#[test]
fn frames() {
    static BYTES: &[u8] = b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three";
    let expected = [b"one".to_vec(), vec![], b"three".to_vec()];
    parts(|n| Frames::new(comes(BYTES, n), 100), async |frames| frames.next().await.unwrap(), &expected);
}

/// What was taken is written, in order and once, by who flushes next.
#[test]
fn buffered_writes() {
    /// Two of them are more than the buffer takes without writing.
    const PART: usize = 5000;
    struct State {
        writer: Slot<Option<BufWriter<LockstepSendStream>>>,
        stream: Arc<LockstepReceiveStream>,
        read: Arc<Mutex<Vec<u8>>>,
        taken: Cell<u8>,
    }
    let runs = cancel_everywhere(
        async |n| {
            let (send, receive) = lockstep_stream_one_way_pair();
            let (stream, read) = (Arc::new(receive), Arc::default());
            n.service(read_to_end(Arc::clone(&stream), Arc::clone(&read)));
            State { writer: Slot::new(Some(BufWriter::new(send))), stream, read, taken: Cell::new(0) }
        },
        async |state| {
            let mut writer = state.writer.lend();
            let writer = writer.as_mut().unwrap();
            for part in 0..4 {
                writer.write_all(&[part; PART]).await.unwrap();
                state.taken.set(part + 1);
            }
            writer.flush().await.unwrap();
        },
        async |state, cut| {
            let rest = async {
                let mut writer = state.writer.lend().take().unwrap();
                writer.flush().await.unwrap();
            };
            join!(rest, read_to_end(Arc::clone(&state.stream), Arc::clone(&state.read)));
            let expected: Vec<u8> = (0..state.taken.get()).flat_map(|part| [part; PART]).collect();
            assert!(*state.read.lock().unwrap() == expected, "{cut}");
        },
    );
    assert!(runs > 60, "{runs}");
}

async fn read_to_end(stream: Arc<LockstepReceiveStream>, read: Arc<Mutex<Vec<u8>>>) {
    let mut buf = [0; 999];
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => return,
            count => read.lock().unwrap().extend_from_slice(&buf[..count]),
        }
    }
}

/// What gets over is the beginning of what was to.
#[test]
fn what_may_be_half_done_is_done_from_its_begin() {
    let copied = |write: fn(LockstepSendStream) -> Pin<Box<dyn Future<Output = ()>>>, expected: &'static [u8]| {
        let runs = cancel_everywhere(
            async |n| {
                let (send, receive) = lockstep_stream_one_way_pair();
                let read = Arc::default();
                n.service(read_to_end(Arc::new(receive), Arc::clone(&read))); // Nobody may come to write.
                (Slot::new(Some(send)), read)
            },
            async |(stream, _)| write(stream.lend().take().unwrap()).await,
            async |(_, read), cut| {
                let read: Vec<u8> = read.lock().unwrap().clone();
                assert!(expected.starts_with(&read), "{cut}: {read:?}");
                assert!(cut.outcome().is_none() || read == expected);
            },
        );
        assert!(runs > 40, "{runs}");
    };
    copied(|stream| Box::pin(async move { write_frame(stream, b"three", 9).await.unwrap() }), b"\0\0\0\x05three");
    copied(
        |mut stream| {
            Box::pin(async move {
                let (send, receive) = memory_stream_one_way_pair();
                let come = async move {
                    for piece in TEXT.chunks(3) {
                        sleep(MOMENT).await;
                        send.write_all(piece).await.unwrap();
                    }
                };
                let (copied, ()) = join!(copy(receive, &mut stream), come);
                assert_eq!(copied.unwrap(), TEXT.len() as u64);
            })
        },
        TEXT,
    );
}

/// A write that has begun is done, and one that has not is not.
#[test]
fn files() {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let runs = CancelSweep::new().seeds(0..3).run(
        async |_| {
            let name = format!("sweep-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
            (PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name), Cell::new(0))
        },
        async |(path, written)| {
            let mut file = File::create(path).await.unwrap();
            for number in 0..3u8 {
                file.write_all(&[number; 10]).await.unwrap();
                written.set(number + 1);
            }
            file.sync_all().await.unwrap();
            file.close().await;
        },
        async |(path, written), cut| {
            let content = fs::read(path).await.unwrap_or_default();
            let expected = |parts: u8| (0..parts).flat_map(|part| [part; 10]).collect::<Vec<_>>();
            let parts = written.get();
            // If something else than a scope drops it, it is written all the same.
            assert!(content == expected(parts) || (cut.is_drop() && content == expected(parts + 1)), "{cut}");
            let _ = fs::remove_file(path).await; // It is not there if nothing had begun.
        },
    );
    assert!(runs > 40, "{runs}");
}

#[test]
fn reads_of_a_file() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sweep-read-{}", std::process::id()));
    std::fs::write(&path, TEXT).unwrap();
    cancel_everywhere(
        async |_| (Slot::new(File::open(&path).await.unwrap()), RefCell::new(vec![])),
        async |(file, read)| {
            let mut file = file.lend();
            let mut buf = [0; 4];
            loop {
                let count = file.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                read.borrow_mut().extend_from_slice(&buf[..count]);
            }
        },
        async |(file, read), cut| {
            let mut read = read.take();
            let before = read.len();
            file.lend().read_to_end(&mut read).await.unwrap();
            // What a dropped read has read is lost.
            let lost = TEXT.len() - read.len();
            assert!(lost == 0 || (cut.is_drop() && lost <= 4), "{cut}: {lost}");
            assert_eq!((&read[..before], &read[before..]), (&TEXT[..before], &TEXT[before + lost..]), "{cut}");
        },
    );
    std::fs::remove_file(path).unwrap();
}

/// Takes as long as is asked for, and holds something meanwhile.
struct Slow {
    held: CountDrops,
    done: Arc<AtomicUsize>,
}

impl Service<Duration> for Slow {
    type Response = ();
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, takes: Duration) -> Self::Future {
        let (guard, done) = (self.held.guard(), self.done.clone());
        Box::pin(async move {
            sleep(takes).await;
            done.fetch_add(1, Relaxed);
            drop(guard);
            Ok(())
        })
    }
}

/// A call that is in time, and one that is not: whatever is cut, what the call held is dropped with it, and none is done twice.
#[test]
fn the_time_out_of_tower() {
    let runs = cancel_everywhere(
        async |_| (CountDrops::new(), Arc::new(AtomicUsize::new(0)), Cell::new(0)),
        async |(held, done, answered)| {
            let slow = Slow { held: held.clone(), done: done.clone() };
            let mut limited = TimeoutLayer::new(2 * MOMENT).layer(slow);
            limited.call(MOMENT).await.unwrap();
            answered.set(1);
            let error = limited.call(3 * MOMENT).await.unwrap_err();
            assert!(error.is::<trioxide_runtime::TooSlow>(), "{error}");
            answered.set(2);
        },
        async |(held, done, answered), cut| {
            assert_eq!(held.made(), held.dropped(), "{cut}");
            let (done, answered) = (done.load(Relaxed), answered.get());
            assert!(answered.min(1) <= done && done <= 1, "{cut}: {done} done, {answered} answered");
            sleep(10 * MOMENT).await;
            assert_eq!(held.made(), held.dropped(), "{cut}");
        },
    );
    assert!(runs > 4, "{runs}");
}
