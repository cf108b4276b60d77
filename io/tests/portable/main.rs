//! What runs elsewhere than on Linux, on Linux: the ways of `polling`, one-shot, and a thread for each process that is waited for. A choice of the tests that wait for
//! descriptors in each way, built once more by `.ci/run portable`, which sets these cfgs for the crates of the workspace alone.
#![cfg(all(unix, trioxide_portable, trioxide_one_shot))]
#![allow(dead_code, unused_imports, unused_macros)] // of `common`, which the other tests use more of

#[path = "../suite/accept.rs"]
mod accept;
#[path = "../suite/cancel.rs"]
mod cancel;
#[path = "../conformance/common.rs"]
mod common;
#[path = "../suite/datagrams.rs"]
mod datagrams;
#[path = "../conformance/descriptors.rs"]
mod descriptors;
#[path = "../suite/last_accept.rs"]
mod last_accept;
#[path = "../suite/many_datagrams.rs"]
mod many_datagrams;
#[path = "../conformance/process.rs"]
mod process;
#[path = "../suite/sendfile.rs"]
mod sendfile;
#[path = "../suite/storms.rs"]
mod storms;
#[path = "../conformance/streams.rs"]
mod streams;
#[path = "../suite/tcp.rs"]
mod tcp;
