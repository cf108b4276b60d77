//! Files, on the threads of the pool.

use std::fs;
use std::io::{ErrorKind, Read, SeekFrom};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::mpsc;

use futures_util::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, poll};
use trioxide_io::fs::{self as io_fs, File, PathError};
use trioxide_io::{BufReader, copy};
use trioxide_runtime::{CancelScope, Runtime, blocking, checkpoint};
use trioxide_testing::on_each;

use crate::common::{ALL, bytes, is_checkpoint};

/// A directory of its own for each test, which goes with this.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("trioxide-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A FIFO and its writer: whoever reads it comes to the end when the writer is closed, and not before.
fn fifo(dir: &Dir, name: &str) -> (fs::File, fs::File) {
    let path = dir.file(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    // For both ways at once, so that opening does not wait for another.
    let keep = fs::File::options().read(true).write(true).open(&path).unwrap();
    let reader = fs::File::open(&path).unwrap();
    let writer = fs::File::options().write(true).open(&path).unwrap();
    drop(keep);
    (reader, writer)
}

#[test]
fn c225_closing_a_file_closes_it_cancelled_or_not() {
    let dir = Dir::new("c225");
    on_each(ALL, async || {
        let (mut reader, writer) = fifo(&dir, "nicely");
        File::from_std(writer).close().await;
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "closed");
        fs::remove_file(dir.file("nicely")).unwrap();

        let (mut reader, writer) = fifo(&dir, "cancelled");
        assert!(is_checkpoint(File::from_std(writer).close()).await);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "closed, though cancelled");
        fs::remove_file(dir.file("cancelled")).unwrap();

        let (mut reader, writer) = fifo(&dir, "dropped");
        drop(File::from_std(writer));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "closed");
        fs::remove_file(dir.file("dropped")).unwrap();
    });
}

#[test]
fn c225_a_cancelled_read_is_waited_for_and_loses_nothing() {
    let dir = Dir::new("c225-read");
    on_each(ALL, async || {
        let (reader, writer) = fifo(&dir, "fifo");
        let (mut reader, mut writer) = (File::from_std(reader), File::from_std(writer));
        let scope = CancelScope::new();
        let handle = scope.handle();
        let mut buf = [0; 8];
        let mut read = Box::pin(scope.run(reader.read(&mut buf)));
        assert!(poll!(read.as_mut()).is_pending()); // its thread waits, or will
        handle.cancel("enough");
        checkpoint().await;
        writer.write_all(b"late").await.unwrap();
        match read.await {
            Ok(count) => assert_eq!((count.unwrap(), &buf[..4]), (4, &b"late"[..])),
            // It had not begun: the other is there for the next.
            Err(_) => assert_eq!(reader.read(&mut buf).await.unwrap(), 4),
        }
        fs::remove_file(dir.file("fifo")).unwrap();
    });
}

#[test]
fn reading_writing_seeking_and_what_is_known() {
    let dir = Dir::new("file");
    on_each(ALL, async || {
        let path = dir.file("one");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).await.unwrap();
        let sent = bytes(3 << 20, 9);
        file.write_all(&sent).await.unwrap();
        assert_eq!(file.write(&[]).await.unwrap(), 0);
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
        assert_eq!(file.seek(SeekFrom::Start(1)).await.unwrap(), 1);
        let mut buf = [0; 4];
        assert_eq!(file.read(&mut buf).await.unwrap(), 4);
        assert_eq!(buf, sent[1..5]);
        let mut rest = Vec::new();
        assert_eq!(file.read_to_end(&mut rest).await.unwrap(), sent.len() - 5);
        assert_eq!(rest, sent[5..]);
        assert_eq!(file.read(&mut buf).await.unwrap(), 0, "the end");
        file.set_len(2).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 2);
        assert_eq!(file.seek(SeekFrom::Current(-1 << 40)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let permissions = file.metadata().await.unwrap().permissions();
        file.set_permissions(permissions).await.unwrap();
        assert!(is_checkpoint(file.read(&mut buf)).await);
        assert!(is_checkpoint(file.write(&buf)).await);
        assert!(is_checkpoint(file.seek(SeekFrom::Start(0))).await);
        assert_eq!(file.into_std().await.unwrap().metadata().unwrap().len(), 2);
        assert!(is_checkpoint(File::open(&path)).await);
        let error = File::open(dir.file("two")).await.unwrap_err();
        assert_eq!(
            (error.kind(), PathError::in_error(&error).unwrap().path()),
            (ErrorKind::NotFound, &*dir.file("two"))
        );
        let text = format!("cannot open {}: No such file or directory (os error 2)", dir.file("two").display());
        assert_eq!(error.to_string(), text);
    });
}

#[test]
fn functions_of_paths() {
    let dir = Dir::new("paths");
    on_each(ALL, async || {
        let (one, other, deep) = (dir.file("one"), dir.file("other"), dir.file("a/b/c"));
        io_fs::write(&one, "text").await.unwrap();
        assert_eq!(io_fs::read(&one).await.unwrap(), b"text");
        assert_eq!(io_fs::read_to_string(&one).await.unwrap(), "text");
        assert_eq!(io_fs::copy(&one, &other).await.unwrap(), 4);
        io_fs::rename(&other, dir.file("third")).await.unwrap();
        io_fs::hard_link(&one, &other).await.unwrap();
        assert!(io_fs::try_exists(&other).await.unwrap());
        io_fs::symlink(&one, dir.file("link")).await.unwrap();
        assert_eq!(io_fs::read_link(dir.file("link")).await.unwrap(), one);
        assert!(io_fs::symlink_metadata(dir.file("link")).await.unwrap().is_symlink());
        assert!(io_fs::metadata(dir.file("link")).await.unwrap().is_file());
        assert_eq!(io_fs::canonicalize(dir.file("link")).await.unwrap(), fs::canonicalize(&one).unwrap());
        io_fs::create_dir_all(&deep).await.unwrap();
        io_fs::remove_dir(&deep).await.unwrap();
        io_fs::create_dir(&deep).await.unwrap();
        let names = io_fs::read_dir(&dir.0).await.unwrap();
        let mut names: Vec<_> = names.iter().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "link", "one", "other", "third"]);
        let permissions = io_fs::metadata(&one).await.unwrap().permissions();
        io_fs::set_permissions(&one, permissions).await.unwrap();
        io_fs::remove_dir_all(dir.file("a")).await.unwrap();
        for name in ["link", "one", "other", "third"] {
            io_fs::remove_file(dir.file(name)).await.unwrap();
        }
        assert!(is_checkpoint(io_fs::write(&one, "nothing")).await);
        assert!(!io_fs::try_exists(&one).await.unwrap(), "what has not begun never does");
        let error = io_fs::rename(&one, &other).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot rename {}: ", one.display())), "{error}");
    });
}

#[test]
fn the_traits_of_futures_io() {
    let dir = Dir::new("traits");
    on_each(ALL, async || {
        let path = dir.file("one");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).await.unwrap();
        let sent = bytes(1 << 20, 11);
        assert_eq!(copy(&sent[..], &mut file).await.unwrap(), 1 << 20);
        assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Start(10)).await.unwrap(), 10);
        let mut read = Vec::new();
        copy(&mut file, &mut read).await.unwrap();
        assert_eq!(read, sent[10..]);
        AsyncWriteExt::write_all(&mut file, b"\nlast\n").await.unwrap();
        AsyncWriteExt::flush(&mut file).await.unwrap();
        AsyncWriteExt::close(&mut file).await.unwrap();
        file.seek(SeekFrom::End(-5)).await.unwrap();
        assert_eq!(BufReader::new(&mut file).read_line(80).await.unwrap().as_deref(), Some("last"));
    });
}

/// Polls a future once, while the pool's only thread is busy: what the poll has begun cannot have ended.
async fn begun<F: Future>(mut future: Pin<&mut F>) -> impl AsyncFnOnce() + use<F> {
    let (let_go, busy) = mpsc::channel();
    let mut thread = Box::pin(blocking(move || busy.recv()));
    assert!(poll!(thread.as_mut()).is_pending());
    assert!(poll!(future.as_mut()).is_pending());
    async move || {
        let_go.send(()).unwrap();
        thread.await.unwrap();
    }
}

/// And drops it before it goes on, as a `select!` of others does.
async fn begun_and_dropped<F: Future>(future: F) {
    let go_on = begun(pin!(future)).await;
    go_on().await;
}

#[test]
fn what_a_dropped_poll_has_begun_is_not_lost_and_not_done_twice() {
    for workers in ALL {
        let runtime = Runtime::builder().workers(*workers).max_blocking_threads(1).build().unwrap();
        runtime.run(what_a_dropped_poll_has_begun());
    }
}

async fn what_a_dropped_poll_has_begun() {
    let dir = Dir::new("flight");
    let path = dir.file("one");
    fs::write(&path, "0123456789").unwrap();
    let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
    let mut buf = [0; 4];
    begun_and_dropped(AsyncReadExt::read(&mut file, &mut buf)).await;
    assert_eq!(AsyncReadExt::read(&mut file, &mut buf[..2]).await.unwrap(), 2);
    assert_eq!(&buf[..2], b"01", "what the first has read is there");
    assert_eq!(file.read(&mut buf).await.unwrap(), 2);
    assert_eq!(&buf[..2], b"23", "to whoever reads");
    begun_and_dropped(AsyncReadExt::read(&mut file, &mut buf)).await;
    file.write_all(b"xy").await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123xy6789", "and a writer is not behind it");

    begun_and_dropped(AsyncWriteExt::write(&mut file, b"ab")).await;
    assert_eq!(AsyncWriteExt::write(&mut file, b"abc").await.unwrap(), 2, "the same again: it is written once");
    begun_and_dropped(AsyncWriteExt::write(&mut file, b"c")).await;
    AsyncWriteExt::write_all(&mut file, b"d").await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123xyabcd", "another one comes after it");

    begun_and_dropped(AsyncSeekExt::seek(&mut file, SeekFrom::Start(1))).await;
    assert_eq!(file.read(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf, b"123x");

    // Begun in a scope that is cancelled then, and used outside of it.
    let scope = CancelScope::new();
    let handle = scope.handle();
    let mut read = Box::pin(scope.run(AsyncReadExt::read(&mut file, &mut buf)));
    let go_on = begun(read.as_mut()).await;
    handle.cancel("enough");
    assert!(read.await.is_err());
    go_on().await;
    let mut rest = Vec::new();
    AsyncReadExt::read_to_end(&mut file, &mut rest).await.unwrap();
    assert_eq!(rest, b"yabcd");
}
