//! Files and directories, on the threads of the pool: the system has nothing to wait for them with.
//!
//! The functions are those of [`std::fs`], and block a thread and not a worker. They are not cut once they have begun:
//! a cancelled scope waits for them, and their result is delivered, so nothing stays half-done. A call that has not
//! begun never does. (After Trio's `Path` and `open_file`.) If something else than a scope drops such a future, the
//! operation is done all the same.
//!
//! ```
//! use trioxide_io::fs;
//! # trioxide_runtime::run(async {
//! let path = std::env::temp_dir().join("trioxide-fs-example");
//! fs::write(&path, "some text").await?;
//! assert_eq!(fs::read_to_string(&path).await?, "some text");
//! fs::remove_file(&path).await?;
//! let error = fs::read(&path).await.unwrap_err();
//! assert!(error.to_string().starts_with("cannot read ") && error.to_string().contains("trioxide-fs-example"));
//! # Ok::<_, std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | functions of paths |
//! | `file` | `File`, `OpenOptions` |
//! | `flight` | `File`'s traits of futures-io: an operation that outlives the poll that began it |
//! | `error` | errors that name the path |

mod error;
mod file;
mod flight;

pub use error::PathError;
pub use file::{File, OpenOptions};
pub use std::fs::{DirEntry, FileType, Metadata, Permissions};

use std::io;
use std::path::{Path, PathBuf};

use trioxide_runtime::blocking;

/// Functions of one path.
macro_rules! of_path {
    ($($(#[$doc:meta])* $name:ident, $verb:literal, ($path:ident $(, $arg:ident: $type:ty => $made:expr)?) -> $out:ty { $body:expr })+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The system's, with the path: [`PathError`] inside.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint, until it begins; then its end is waited for, and delivered.
        pub async fn $name(path: impl AsRef<Path> $(, $arg: $type)?) -> io::Result<$out> {
            let $path = path.as_ref().to_owned();
            $(let $arg = $made;)?
            blocking(move || {
                let $path = &*$path;
                $body.map_err(|cause| PathError::of($verb, $path, cause))
            })
            .await
        }
    )+};
}

of_path! {
    /// All bytes of a file.
    read, "read", (path) -> Vec<u8> { std::fs::read(path) }
    /// All of a file, which is UTF-8.
    read_to_string, "read", (path) -> String { std::fs::read_to_string(path) }
    /// Makes `contents` all that is in the file, which is created if need be. A program that is killed meanwhile leaves a part of
    /// it: write another file and [`rename`] it where that matters.
    write, "write", (path, contents: impl AsRef<[u8]> => contents.as_ref().to_vec()) -> () { std::fs::write(path, contents) }
    /// Makes a directory.
    create_dir, "create", (path) -> () { std::fs::create_dir(path) }
    /// Makes a directory and those above it, as far as they are missing.
    create_dir_all, "create", (path) -> () { std::fs::create_dir_all(path) }
    /// Removes a file.
    remove_file, "remove", (path) -> () { std::fs::remove_file(path) }
    /// Removes an empty directory.
    remove_dir, "remove", (path) -> () { std::fs::remove_dir(path) }
    /// Removes a directory with all that is in it.
    remove_dir_all, "remove", (path) -> () { std::fs::remove_dir_all(path) }
    /// What is known of it; a symbolic link is followed.
    metadata, "look at", (path) -> Metadata { std::fs::metadata(path) }
    /// What is known of it; of a symbolic link itself.
    symlink_metadata, "look at", (path) -> Metadata { std::fs::symlink_metadata(path) }
    /// Sets who may do what with it.
    set_permissions, "set the permissions of", (path, permissions: impl Into<Permissions> => permissions.into()) -> () {
        std::fs::set_permissions(path, permissions)
    }
    /// Where a symbolic link leads.
    read_link, "read", (path) -> PathBuf { std::fs::read_link(path) }
    /// The path without symbolic links and dots.
    canonicalize, "follow", (path) -> PathBuf { std::fs::canonicalize(path) }
    /// Whether it is there.
    try_exists, "look at", (path) -> bool { std::fs::exists(path) }
    /// All that is in a directory, in the system's order, at once (as Trio's `iterdir`).
    read_dir, "list", (path) -> Vec<DirEntry> { std::fs::read_dir(path).and_then(Iterator::collect) }
}

/// Functions of two paths.
macro_rules! from_to {
    ($($(#[$doc:meta])* $name:ident, $verb:literal, $out:ty, $call:path)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The system's, with the first path: [`PathError`] inside.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint, until it begins; then its end is waited for, and delivered.
        pub async fn $name(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<$out> {
            let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
            blocking(move || $call(&from, &to).map_err(|cause| PathError::of($verb, &from, cause))).await
        }
    )+};
}

from_to! {
    /// Gives a file or directory another name, replacing the file that has it.
    rename, "rename", (), std::fs::rename
    /// Copies a file with its permissions, replacing the one at `to`, and gives its length.
    copy, "copy", u64, std::fs::copy
    /// One more name, `to`, of the file `from`.
    hard_link, "link to", (), std::fs::hard_link
}

#[cfg(unix)]
from_to! {
    /// A symbolic link `to` that leads to `from`.
    symlink, "link to", (), std::os::unix::fs::symlink
}
