//! The reactor, sockets and signals of trioxide.
//!
//! A program without sockets and signals pays nothing for this crate: the reactor is made, and installed as the
//! runtime's driver, with the first of them.
//!
//! | for | look at |
//! | --- | --- |
//! | connecting | [`connect`], [`Connect`], [`TcpStream::connect`], [`UnixStream::connect`] |
//! | serving | [`serve`], [`Server`], [`TcpListener`], [`UnixListener`] |
//! | listeners of the program before | [`inherited`], [`process::Command::hand_over`] |
//! | messages | [`UdpSocket`], [`UnixDatagram`]; many at once: [`Messages`] |
//! | lines, frames, whole parts | [`BufReader`], [`BufWriter`], [`Frames`], [`write_frame`] |
//! | copying | [`copy`], [`copy_bidirectional`]; from a file [`TcpStream::sendfile`], [`UnixStream::sendfile`] |
//! | two halves as one stream | [`stream::StapledStream`] |
//! | TLS | module `tls` (feature `tls`) |
//! | files | [`fs`] |
//! | standard input and output | [`stdin`], [`stdout`], [`stderr`] |
//! | child processes | [`process`] |
//! | pipes, any descriptor | [`mod@pipe`], [`Async`] |
//! | any stream, streams of your own | [`stream`] |
//! | names | [`set_resolver`] |
//! | other networks than the system's | [`network`] |
//! | errors | [`Closed`], [`Busy`], [`TooLong`], [`ConnectError`] |
//!
//! # Two at once
//! A stream has two directions, and takes one operation at a time in each: a second reader, or a second writer, is told
//! [`Busy`] while the first waits. Listeners and datagram sockets take any number. What `close` has closed is [`Closed`] to
//! everybody, at once, also to those who wait.
//!
//! # Cancellation
//! Every operation that waits is a checkpoint. It is tried only after the checkpoint has let it through, and
//! what it does it does in one poll; so an operation that is cancelled while it waits has done nothing. What
//! is made of several such operations (`write_all`, `read_exact`) says what it leaves.
//!
//! # Features
//! - `hyper`: hyper's `rt` traits for [`TcpStream`] and for `tls::TlsStream`, and module `hyper_rt` for the executor and the timer.
//! - `tokio-compat`: the context of a tokio runtime for libraries that insist on one, in module `tokio_compat`.
//! - `tower`: tower's time-out, as a scope: `TimeoutLayer`; deadlines that cross machines, in module `deadline`.
//! - `hickory`: DNS by hickory, whose tasks are a nursery's: `HickoryProvider`.
//! - `quinn`: QUIC by quinn, whose tasks are a nursery's: `QuinnRuntime`.
//! - `tracing`: a span for each task: `TaskSpans`.
//! - `tls`: TLS with rustls, in module `tls`.
//! - `tokio-io`: tokio's `AsyncRead` and `AsyncWrite` for [`TcpStream`] and its halves.

mod addr;
#[cfg(unix)]
mod any;
mod buffer;
mod connect;
mod copy;
#[cfg(feature = "tower")]
pub mod deadline;
mod error;
mod frames;
pub mod fs;
#[cfg(feature = "hickory")]
mod hickory_rt;
#[cfg(feature = "hyper")]
pub mod hyper_rt;
#[cfg(unix)]
mod inherited;
mod methods;
pub mod network;
#[cfg(any(feature = "hickory", feature = "hyper", feature = "quinn", feature = "tokio-compat"))]
mod opaque;
#[cfg(unix)]
pub mod pipe;
#[cfg(unix)]
pub mod process;
#[cfg(feature = "quinn")]
mod quinn_rt;
mod reactor;
mod resolve;
#[cfg(any(feature = "hyper", feature = "quinn"))]
mod run_sleep;
mod sendfile;
mod serve;
#[cfg(unix)]
pub mod signal;
mod stapled;
#[cfg(unix)]
mod stdio;
pub mod stream;
mod sys;
#[cfg(feature = "tracing")]
mod task_spans;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio-compat")]
pub mod tokio_compat;
#[cfg(feature = "tower")]
mod tower_timeout;
mod udp;
#[cfg(unix)]
pub mod unix;
mod wait;

pub use addr::ToSocketAddrs;
#[cfg(unix)]
pub use any::Async;
pub use buffer::{BufReader, BufWriter};
pub use connect::{Connect, ConnectError, connect};
pub use copy::{copy, copy_bidirectional};
pub use error::{Busy, Closed, TooLong, is_busy, is_closed};
pub use frames::{Frames, write_frame};
#[cfg(feature = "hickory")]
pub use hickory_rt::HickoryProvider;
#[cfg(unix)]
pub use inherited::{Inherited, inherited};
#[cfg(unix)]
pub use pipe::pipe;
#[cfg(feature = "quinn")]
pub use quinn_rt::QuinnRuntime;
pub use resolve::{Resolver, set_resolver};
pub use serve::{Listen, Outcome, Server, Trouble, serve};
#[cfg(unix)]
pub use stdio::{Stdin, Stdout, stderr, stdin, stdout};
#[cfg(feature = "tracing")]
pub use task_spans::TaskSpans;
pub use tcp::{TcpListener, TcpStream};
#[cfg(feature = "tower")]
pub use tower_timeout::{Timeout, TimeoutLayer};
pub use udp::{Messages, UdpSocket};
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
