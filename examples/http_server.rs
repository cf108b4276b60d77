//! HTTP on all cores: hyper 1 inside a nursery, with keep-alive and a graceful stop.
//!
//! ```text
//! cargo run --release --example http_server
//! curl http://127.0.0.1:8080/
//! curl http://127.0.0.1:8080/slow?ms=3000      # and press control-C meanwhile
//! ```
//!
//! ```text
//! run ─ nursery ─┬─ signals         the first one stops the server, the second one cuts it off
//!                └─ body: nursery ─┬─ body: the accept loop
//!                                  ├─ connection
//!                                  └─ connection …
//! ```
//!
//! What happens at the first SIGINT or SIGTERM: the accept loop ends; requests in flight are answered; a connection that is
//! idle is closed; and when all are closed, or the grace is over, the program exits with 0.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use clap::Parser;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use futures_util::{FutureExt, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use trioxide::io::hyper_rt::Timer;
use trioxide::prelude::*;
use trioxide::signal::{SignalKind, signal};
use trioxide::{Runtime, ScopeHandle};

#[derive(Parser)]
#[command(about = "Serves HTTP on all cores")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many workers; default: one for each CPU that the process may use
    #[arg(long)]
    workers: Option<NonZeroUsize>,
    /// How many seconds requests in flight have to finish after the first signal
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
}

/// How many requests have been begun.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut builder = Runtime::builder();
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers.get());
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the workers: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.run(run(&arguments)) {
        Ok(()) => {
            println!("stopped after {} requests", REQUESTS.load(Ordering::Relaxed));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal comes and what is in flight is done.
async fn run(arguments: &Arguments) -> Result<(), NurseryError<io::Error>> {
    let grace = Duration::from_secs(arguments.grace.into());
    let listener = TcpListener::bind(&arguments.addr).await?;
    let address = listener.local_addr()?;
    let signals = stream::select(signal(SignalKind::INTERRUPT)?, signal(SignalKind::TERMINATE)?);

    nursery(async |n| {
        let server = CancelScope::new();
        n.task("signals").spawn(obey(signals, server.handle(), grace));
        println!("listening on http://{address}");
        if let Err(cancelled) = server.run(serve(listener)).await {
            eprintln!("requests were cut off ({cancelled})");
        }
        n.cancel("the server has ended"); // or else the nursery would wait for the next signal
        Ok(())
    })
    .await
}

async fn obey(mut signals: impl Stream<Item = ()> + Unpin, server: ScopeHandle, grace: Duration) {
    signals.next().await;
    println!("stopping; again to stop at once");
    server.stop(grace);
    signals.next().await;
    server.cancel("a second signal");
}

/// Accepts connections, each a child of its own. Ends when the server has been stopped and the last connection has ended.
async fn serve(listener: TcpListener) {
    nursery(async move |n| {
        while let Some(accepted) = until_stopping(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    n.spawn(connection(stream));
                }
                Err(error) => {
                    // No descriptors left, say. Those who wait are accepted when another connection has ended.
                    eprintln!("cannot accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // Those who are in the queue already; nobody is after that, because the listener is dropped with this body.
        while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            n.spawn(connection(stream));
        }
    })
    .await;
}

/// How long a connection without a request stays open when the server stops. A client that has just been answered may have
/// sent its next request already: that is answered as well, with a word that it was the last.
const LAST_CALL: Duration = Duration::from_millis(100);

/// One connection, with all its requests. Its errors end with it.
async fn connection(stream: TcpStream) {
    let last_call = AtomicBool::new(false);
    let service = service_fn(|request| answer(request, &last_call));
    let mut served = pin!(http1::Builder::new().timer(Timer).serve_connection(stream, service));

    // Not `until_stopping(served.as_mut())`: that would cancel the scopes inside, and with them the requests in flight.
    let outcome = match select(served.as_mut(), pin!(stopping())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            last_call.store(true, Ordering::Relaxed);
            match select(served.as_mut(), pin!(sleep(LAST_CALL))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => {
                    served.as_mut().graceful_shutdown(); // closes as soon as it is idle
                    served.await
                }
            }
        }
    };
    if let Err(error) = outcome {
        eprintln!("a connection failed: {error}");
    }
}

/// One request. A panic in what answers it is the 500 of this request, and of no other.
async fn answer(request: Request<Incoming>, last_call: &AtomicBool) -> Result<Response<Full<Bytes>>, Infallible> {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    let answered = AssertUnwindSafe(route(&request)).catch_unwind().await;
    let (status, text) = answered.unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, "this request failed\n".into()));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    if last_call.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// What a program would have a router for.
async fn route(request: &Request<Incoming>) -> (StatusCode, String) {
    match request.uri().path() {
        "/" => (StatusCode::OK, "Hello from a nursery\n".into()),
        "/slow" => match milliseconds(request.uri().query()) {
            Some(ms) => {
                sleep(Duration::from_millis(ms)).await;
                (StatusCode::OK, format!("after {ms} ms\n"))
            }
            None => (StatusCode::BAD_REQUEST, "say how slow: /slow?ms=1000\n".into()),
        },
        "/panic" => panic!("somebody asked for /panic"),
        path => (StatusCode::NOT_FOUND, format!("nothing at {path}; try /, /slow?ms=1000 or /panic\n")),
    }
}

fn milliseconds(query: Option<&str>) -> Option<u64> {
    query?.strip_prefix("ms=")?.parse().ok()
}
