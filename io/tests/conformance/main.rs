//! What Trio's own tests assert of streams, sockets and servers, by the numbers of the conformance list: a test for behaviour 191
//! is named `c191_…`. `docs/conformance.md` is the table of these tests.
#![cfg(unix)]

mod common;

mod connect;
mod descriptors;
mod files;
mod process;
mod serve;
mod signals;
mod sockets;
mod stapled;
mod streams;
mod suites;
mod two_way;
