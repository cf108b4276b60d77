//! Deadlines that cross machines (feature `tower`): the time that is left goes along with a request, and is a scope on the other side.
//!
//! gRPC has a header for it, `grpc-timeout`; plain HTTP gets one by [`DeadlineHeader::http`]. It says how long the caller will wait, and no
//! moment: clocks of two machines differ.
//!
//! ```text
//! client                                    server
//! fail_after(2 s)                           AcceptDeadlineLayer: a scope of 1.7 s
//! └─ 0.3 s later: SendDeadlineLayer  ────►  └─ handler: its own calls send what is left of that
//!    grpc-timeout: 1700000u
//! ```
//!
//! | for | look at |
//! | --- | --- |
//! | a client | [`SendDeadlineLayer`] |
//! | a server | [`AcceptDeadlineLayer`] |
//! | what is not tower's | [`DeadlineHeader::read`], [`DeadlineHeader::write_current`] |
//!
//! A client that hangs up (a closed connection, a stream that HTTP/2 resets) makes hyper *drop* the handler. With
//! [`AcceptDeadlineLayer::in_nursery`] its scope is *cancelled* instead, and clean-up that awaits is run.

mod accept;
mod header;
mod send;

pub use accept::{AcceptDeadline, AcceptDeadlineLayer};
pub use header::{BadDeadline, DeadlineHeader};
pub use send::{SendDeadline, SendDeadlineLayer};
