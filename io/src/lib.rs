//! The reactor, sockets and signals of trioxide.
//!
//! A program without sockets and signals pays nothing for this crate: the reactor is made, and installed as the
//! runtime's driver, with the first of them.
//!
//! # Cancellation
//! Every operation that waits is a checkpoint. It is tried only after the checkpoint has let it through, and
//! what it does it does in one poll; so an operation that is cancelled while it waits has done nothing. What
//! is made of several such operations (`write_all`, `read_exact`) says what it leaves.
//!
//! # Features
//! - `hyper`: hyper's `rt` traits: [`TcpStream`], and module `hyper_rt` for the executor and the timer.
//! - `tokio-io`: tokio's `AsyncRead` and `AsyncWrite` for [`TcpStream`] and its halves.

mod addr;
#[cfg(unix)]
mod any;
mod error;
#[cfg(feature = "hyper")]
#[allow(unsafe_code)]
pub mod hyper_rt;
mod methods;
#[cfg(unix)]
pub mod pipe;
mod reactor;
#[cfg(unix)]
pub mod signal;
mod sys;
pub mod tcp;
mod udp;
#[cfg(unix)]
pub mod unix;
mod wait;

pub use addr::ToSocketAddrs;
#[cfg(unix)]
pub use any::Async;
pub use error::{Busy, Closed, is_busy, is_closed};
#[cfg(unix)]
pub use pipe::pipe;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
