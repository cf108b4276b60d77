//! `File`.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use trioxide_runtime::blocking;

use super::flight::Flight;
use super::{Metadata, PathError, Permissions};
use crate::sys;

/// The most that one read or write takes along to the thread.
const PIECE: usize = 2 << 20;

/// An open file. Nothing is kept back in this process: what [`write`](File::write) has counted, the system has.
///
/// It is closed when it is dropped, on the thread that drops it; [`close`](File::close) does so on a thread of the pool, which
/// matters for files of a network.
///
/// The traits of futures-io are there, too; what they begin goes on if nobody polls any more, and the next call waits for it.
///
/// ```
/// use std::io::SeekFrom;
/// use trioxide_io::fs::{self, File};
/// # trioxide_runtime::run(async {
/// let path = std::env::temp_dir().join("trioxide-file-example");
/// let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).await?;
/// file.write_all(b"one two").await?;
/// file.seek(SeekFrom::Start(4)).await?;
/// let mut rest = Vec::new();
/// file.read_to_end(&mut rest).await?;
/// assert_eq!(rest, b"two");
/// file.close().await;
/// fs::remove_file(&path).await?;
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct File {
    pub(super) std: Arc<std::fs::File>,
    pub(super) flight: Flight,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's, with the path: [`PathError`] inside.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file for writing, empty: it is created, or what was in it is lost.
    ///
    /// # Errors
    /// As [`open`](File::open).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`open`](File::open).
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().write(true).create(true).truncate(true).open(path).await
    }

    /// Other ways to open one: all options of [`std::fs::OpenOptions`].
    pub fn options() -> OpenOptions {
        OpenOptions { std: std::fs::File::options() }
    }

    /// Takes over a file of std.
    pub fn from_std(file: std::fs::File) -> File {
        File { std: Arc::new(file), flight: Flight::default() }
    }

    /// Gives the file to std, once nothing is being done with it; at the position up to which it was read here.
    ///
    /// # Errors
    /// The system's, of what was being done.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the file is closed.
    pub async fn into_std(mut self) -> io::Result<std::fs::File> {
        self.land().await?;
        let mut file = self.std;
        loop {
            match Arc::try_unwrap(file) {
                Ok(file) => return Ok(file),
                // The thread that was the last to use it has given its result, and lets go of the file right after.
                Err(shared) => file = shared,
            }
            trioxide_runtime::checkpoint().await;
        }
    }

    /// Closes it on a thread of the pool. Cancelled, it is closed all the same, here (as Trio's `aclose`).
    ///
    /// # Panics
    /// Outside a run; it is closed then, too.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the file is closed.
    pub async fn close(self) {
        blocking(move || drop(self)).await;
    }

    /// Reads at most `buf.len()` bytes (and at most 2 MiB). 0 is the end of the file, or `buf` is empty.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered. If something else than a scope drops it, what
    /// has been read is lost: the position is behind it.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait().await?;
        let ahead = self.flight.take_ahead(buf);
        if ahead > 0 {
            return Ok(ahead);
        }
        let wanted = buf.len().min(PIECE);
        let piece = self.with(move |mut file| read_piece(&mut file, wanted)).await?;
        buf[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }

    /// Reads to the end of the file, appending to `buf`, and gives the number of bytes.
    ///
    /// # Errors
    /// The system's; what was read before the error is lost.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`read`](File::read).
    pub async fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.land().await?;
        let rest = self.with(|mut file| {
            let mut rest = Vec::new();
            file.read_to_end(&mut rest).map(|_| rest)
        });
        let rest = rest.await?;
        buf.extend_from_slice(&rest);
        Ok(rest.len())
    }

    /// Writes some of `buf` (at most 2 MiB), and says how much: the system has it then.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered. If something else than a scope drops it, it is
    /// written all the same.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.land().await?;
        let piece = buf[..buf.len().min(PIECE)].to_vec();
        self.with(move |mut file| file.write(&piece)).await
    }

    /// Writes all of `buf`, in one go.
    ///
    /// # Errors
    /// The system's; an unknown part has then been written.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`write`](File::write).
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.land().await?;
        let all = buf.to_vec();
        self.with(move |mut file| file.write_all(&all)).await
    }

    /// Goes to another position, and gives it, counted from the start.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for one before the start.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.land().await?;
        self.with(move |mut file| file.seek(to)).await
    }

    /// Waits until the disk has it, contents and what else is known of the file (fsync).
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered.
    pub async fn sync_all(&mut self) -> io::Result<()> {
        self.wait().await?;
        self.with(|file| file.sync_all()).await
    }

    /// As [`sync_all`](File::sync_all), of the contents only (fdatasync).
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`sync_all`](File::sync_all).
    pub async fn sync_data(&mut self) -> io::Result<()> {
        self.wait().await?;
        self.with(|file| file.sync_data()).await
    }

    /// Makes it so many bytes long: cuts it, or appends zeros.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`sync_all`](File::sync_all).
    pub async fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.land().await?;
        self.with(move |file| file.set_len(bytes)).await
    }

    /// What is known of it.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`sync_all`](File::sync_all).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.with(|file| file.metadata()).await
    }

    /// Sets who may do what with it.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`sync_all`](File::sync_all).
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.with(move |file| file.set_permissions(permissions)).await
    }

    pub(crate) fn shared(&self) -> &std::fs::File {
        &self.std
    }

    /// Reads up to `wanted` bytes at a position, whatever that of the file is.
    pub(crate) async fn read_at(&self, at: u64, wanted: usize) -> io::Result<Vec<u8>> {
        self.with(move |file| filled(wanted, |piece| sys::read_at(file, piece, at))).await
    }

    /// Waits until nothing is in flight, and is where the reader is: back before what was read ahead.
    async fn land(&mut self) -> io::Result<()> {
        self.wait().await?;
        let ahead = self.flight.forget_ahead();
        if ahead > 0 {
            self.with(move |mut file| file.seek(SeekFrom::Current(-(ahead as i64)))).await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.flight.poll_settled(cx)).await
    }

    async fn with<T, F>(&self, op: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    {
        let file = self.std.clone();
        blocking(move || op(&file)).await
    }
}

pub(super) fn read_piece(file: &mut &std::fs::File, wanted: usize) -> io::Result<Vec<u8>> {
    filled(wanted.min(PIECE), |piece| file.read(piece))
}

fn filled(wanted: usize, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; wanted];
    let count = loop {
        match read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    piece.truncate(count);
    Ok(piece)
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from_std(file)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.std.as_fd()
    }
}

/// How a file is opened: [`File::options`]. The options are those of [`std::fs::OpenOptions`].
#[derive(Clone, Debug)]
#[must_use = "call `open`"]
pub struct OpenOptions {
    std: std::fs::OpenOptions,
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        pub fn $name(mut self, yes: bool) -> OpenOptions {
            self.std.$name(yes);
            self
        }
    )+};
}

impl OpenOptions {
    options! {
        /// To be read.
        read
        /// To be written.
        write
        /// Each write goes to the end.
        append
        /// What is in it is thrown away.
        truncate
        /// It is made if it is not there.
        create
        /// It is made, and it is an error if it is there.
        create_new
    }

    /// Opens it.
    ///
    /// # Errors
    /// The system's, with the path: [`PathError`] inside; `InvalidInput` for options that contradict each other.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint, until it begins; then its end is waited for, and delivered.
    pub async fn open(self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref().to_owned();
        let opened = blocking(move || self.std.open(&path).map_err(|cause| PathError::of("open", &path, cause)));
        opened.await.map(File::from_std)
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(std: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions { std }
    }
}
