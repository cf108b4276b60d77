//! TCP: listeners and streams.
//!
//! | file | duty |
//! | --- | --- |
//! | `listener` | `bind`, `accept` |
//! | `stream` | `connect`, reading and writing through `&self` |
//! | `split` | halves of a stream, borrowed and owned |
//! | `futures_io`, `tokio_io` (feature), `hyper_io` (feature) | the traits of others |

mod futures_io;
#[cfg(feature = "hyper")]
#[allow(unsafe_code)]
mod hyper_io;
mod listener;
mod split;
mod stream;
#[cfg(feature = "tokio-io")]
#[allow(unsafe_code)]
mod tokio_io;

pub use listener::{ListenOptions, TcpListener};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
