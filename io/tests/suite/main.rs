//! The reactor, the sockets and the adapters, a file for each part. Signals, which concern the whole process, have a binary of their own.

mod accept;
#[cfg(unix)]
mod bad_input;
#[cfg(unix)]
mod budget;
#[cfg(unix)]
mod buffers;
mod cancel;
#[cfg(unix)]
mod datagrams;
mod hog;
#[cfg(feature = "hyper")]
mod hyper_rt;
mod last_accept;
#[cfg(unix)]
mod many_datagrams;
#[cfg(unix)]
mod mock_time;
mod options;
#[cfg(unix)]
mod sendfile;
mod storms;
mod sweep;
mod tcp;
#[cfg(feature = "tokio-io")]
mod tokio_io;
