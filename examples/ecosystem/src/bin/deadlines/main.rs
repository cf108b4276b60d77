//! A deadline that crosses processes: an HTTP service before a gRPC service (tonic), each a process of its own, on trioxide.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin deadlines -- back --addr 127.0.0.1:50051
//! cargo run -p trioxide-ecosystem --bin deadlines -- front --addr 127.0.0.1:8083 --upstream 127.0.0.1:50051
//! curl http://127.0.0.1:8083/wait?ms=20
//! curl -H 'x-envoy-expected-rq-timeout-ms: 500' http://127.0.0.1:8083/wait?ms=60000
//! curl -m 2 http://127.0.0.1:8083/wait?ms=60000
//! ```
//!
//! ```text
//! curl ── x-envoy-expected-rq-timeout-ms: 500 ──► front: a scope of 500 ms ── grpc-timeout: 499000u ──► back: a scope of 499 ms
//! ```
//!
//! The second request ends at its deadline, in both processes; the third when curl hangs up, in both processes. Each time the handler behind
//! says what has become of it, in a clean-up that could await.
//!
//! | file | duty |
//! | --- | --- |
//! | `main` (here) | the command line, the server of both |
//! | `front` | HTTP/1 in, gRPC out |
//! | `back` | the gRPC service |
//! | `waiter` | what generated code would be: the messages, and how both sides call it |

mod back;
mod front;
mod waiter;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Two services, and deadlines that cross from one to the other")]
struct Arguments {
    #[command(subcommand)]
    service: Service,
}

#[derive(Subcommand)]
enum Service {
    /// The gRPC service, which waits for as long as it is asked to
    Back {
        /// The address to listen on; port 0 lets the system choose one
        #[arg(long, default_value = "127.0.0.1:50051")]
        addr: String,
    },
    /// The HTTP service, which asks the other one
    Front {
        /// The address to listen on; port 0 lets the system choose one
        #[arg(long, default_value = "127.0.0.1:8083")]
        addr: String,
        /// HOST:PORT of the gRPC service
        #[arg(long, default_value = "127.0.0.1:50051")]
        upstream: String,
    },
}

#[trioxide::main]
async fn main() -> ExitCode {
    let served = match Arguments::parse().service {
        Service::Back { addr } => back::serve(&addr).await,
        Service::Front { addr, upstream } => front::serve(&addr, upstream).await,
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work`, and says how it ended: `label: done`, or `label: cut` and why.
async fn reported<F: Future>(label: String, work: F) -> F::Output {
    let done = AtomicBool::new(false);
    let noted = async {
        let output = work.await;
        done.store(true, Ordering::Relaxed);
        output
    };
    let report = async {
        checkpoint().await; // a clean-up may await: it could tell a database
        match trioxide::current_cancel_reason() {
            Some(reason) if !done.load(Ordering::Relaxed) => println!("{label}: cut: {reason}"),
            _ => println!("{label}: done"),
        }
    };
    finally(noted, report).await
}
