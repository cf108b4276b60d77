//! Unix sockets: streams, listeners and datagrams between processes of one machine, by paths in the file system.
//!
//! | file | duty |
//! | --- | --- |
//! | `stream` | `UnixStream`: bytes both ways |
//! | `listener` | `UnixListener` |
//! | `datagram` | `UnixDatagram`: whole messages |

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::UnixStream;

use std::io;
use std::path::Path;

use crate::addr::explain;

/// An error that names the path.
fn of_path(action: &'static str, path: &Path, error: io::Error) -> io::Error {
    explain(action, path.display(), error)
}
