//! Standard input and output, for which pipes stand in: nothing that has come is lost, nothing is written twice.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::stdio::{dup2_stderr, dup2_stdin};
use trioxide_io::{stderr, stdin};
use trioxide_runtime::{blocking, checkpoint};

use crate::slot::Slot;
use crate::sweep;

const TEXT: &[u8] = b"one two three";

/// This process's standard input or error is something else for as long as this lives.
struct Replaced {
    before: OwnedFd,
    replace: fn(&OwnedFd),
}

impl Replaced {
    fn new(current: impl AsFd, by: impl Into<OwnedFd>, replace: fn(&OwnedFd)) -> Self {
        let before = current.as_fd().try_clone_to_owned().unwrap();
        replace(&by.into());
        Self { before, replace }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        (self.replace)(&self.before);
    }
}

#[test]
fn reads() {
    let runs = sweep(
        async |n| {
            let (reader, writer) = std::io::pipe().unwrap();
            let replaced = Replaced::new(std::io::stdin(), reader, |fd| dup2_stdin(fd).unwrap());
            n.spawn(async move {
                for piece in TEXT.chunks(3) {
                    checkpoint().await;
                    (&writer).write_all(piece).unwrap();
                }
            });
            (Slot::new(stdin().unwrap()), RefCell::new(vec![]), replaced)
        },
        async |(stdin, read, _)| {
            let (mut stdin, mut buf) = (stdin.lend(), [0; 2]);
            loop {
                let count = stdin.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                read.borrow_mut().extend_from_slice(&buf[..count]);
            }
        },
        async |(stdin, read, _), cut| {
            let (mut stdin, mut all, mut buf) = (stdin.lend(), read.take(), [0; 64]);
            loop {
                let count = stdin.read(&mut buf).await.unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buf[..count]);
            }
            assert_eq!(all, TEXT, "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");
}

/// More than a pipe takes, so that the writer waits for the reader, which is a thread.
#[test]
fn writes() {
    let data: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
    let runs = sweep(
        async |n| {
            let (reader, writer) = std::io::pipe().unwrap();
            let replaced = Replaced::new(std::io::stderr(), writer, |fd| dup2_stderr(fd).unwrap());
            let (go, going) = std::sync::mpsc::channel();
            // It runs when the writer waits: then the pipe is full.
            n.spawn(async move { go.send(()).unwrap() });
            let read = std::thread::spawn(move || {
                let (mut reader, mut all) = (reader, vec![]);
                going.recv().unwrap();
                reader.read_to_end(&mut all).unwrap();
                all
            });
            let sent = RefCell::new((0, false));
            (Slot::new(Some(stderr().unwrap())), Slot::new(Some(replaced)), Slot::new(Some(read)), sent)
        },
        async |(stderr, _, _, sent)| {
            let mut stderr = stderr.lend();
            let stderr = stderr.as_mut().unwrap();
            let half = data.len() / 2;
            while sent.borrow().0 < half {
                let from = sent.borrow().0;
                let count = stderr.write(&data[from..half]).await.unwrap();
                sent.borrow_mut().0 += count;
            }
            sent.borrow_mut().1 = true;
            stderr.write_all(&data[half..]).await.unwrap();
        },
        async |(stderr, replaced, read, sent), cut| {
            drop((stderr.lend().take(), replaced.lend().take())); // Nobody writes any more.
            let read = read.lend().take().unwrap();
            let all = blocking(move || read.join().unwrap()).await;
            let (counted, writes_all) = *sent.borrow();
            let complete = all.len() == counted || writes_all;
            assert!(complete && data.starts_with(&all), "{cut}: {counted} counted, {} come", all.len());
            assert!(cut.outcome().is_none() || all.len() == data.len(), "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");
}
