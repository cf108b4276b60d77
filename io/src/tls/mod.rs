//! TLS over any stream, with rustls (feature `tls`).
//!
//! ```text
//! Connector, Acceptor ─▶ wrap ─▶ TlsStream<S> ─▶ handshake (by itself with the first read or write) ─▶ read, write ─▶ close
//! ```
//!
//! A [`TlsStream`] wraps whatever has the traits of futures-io: a TCP connection, a Unix socket, another `TlsStream`. After Trio's
//! `SSLStream`: the handshake is done when it is first needed, so that a listener's `accept` is not held up by a peer that is slow
//! ([`TlsListener`]); both directions may be used at once, by two tasks; who comes second to a direction is told
//! [`Busy`](crate::Busy).
//!
//! ```no_run
//! use trioxide_io::tls;
//! # async fn example() -> std::io::Result<()> {
//! let stream = tls::connect("example.org", 443).await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! let mut buf = [0; 1024];
//! let count = stream.read(&mut buf).await?;
//! println!("{}", String::from_utf8_lossy(&buf[..count]));
//! stream.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # When it is broken
//! A handshake or a write of this type's own methods that is cancelled half-way leaves the stream [`Broken`], and later operations
//! say so: what the peer has got is unknown, and going on as if nothing had been would be a mistake. So does an error of the
//! transport, and a transport that ends without the peer's goodbye: somebody in between may have cut the rest off
//! ([`TlsStream::allow_truncation`] takes that for an ordinary end). A broken stream can still be closed. Through the traits of
//! futures-io nobody learns that a caller has gone; there the next call goes on where the last was.
//!
//! | file | duty |
//! | --- | --- |
//! | `stream` | `TlsStream`: methods, busy and broken |
//! | `session` | the state behind it: handshake, records, both directions |
//! | `incoming` | records out of what the transport brings, and not a byte more |
//! | `wakers` | who waits for the transport |
//! | `config` | `Connector`, `Acceptor`, `connect` |
//! | `listener` | `TlsListener` |
//! | `error` | `Broken`, `NoHandshake`, `Refused` |
//! | `traits` | futures-io, tokio, hyper |

mod config;
mod error;
mod incoming;
mod listener;
mod session;
mod stream;
mod traits;
mod wakers;

pub use config::{Acceptor, Connector, certificates, connect, private_key};
pub use error::{Broken, NoHandshake, Refused};
pub use listener::TlsListener;
pub use rustls;
pub use stream::TlsStream;
