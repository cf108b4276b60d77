//! An HTTP service on axum, with state that all requests share, a time limit for each, and an end that fits a rolling restart.
//!
//! axum needs no tokio runtime for this: hyper serves each connection in a task of the server's nursery.
//!
//! ```text
//! signal ──► draining: /readyz says 503, so that a load balancer (Kubernetes, say) sends nobody any more; whoever comes still is served
//!        ──► stopping, --drain-ms later or at a second signal: no connection is accepted; what is in flight is answered
//!        ──► the end, with 0, when that is done; --grace-ms later, or at another signal, it is cut off
//! ```
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin axum_service -- --addr 127.0.0.1:8082
//! curl http://127.0.0.1:8082/count ; curl 'http://127.0.0.1:8082/slow?ms=9999'
//! ```

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Parser;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use trioxide::ScopeHandle;
use trioxide::io::Server;
use trioxide::io::hyper_rt::Timer;
use trioxide::prelude::*;
use trioxide::signal::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "An HTTP service on axum")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8082")]
    addr: String,
    /// How long it goes on after a signal, not ready: until those who send requests have noticed
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    drain_ms: u64,
    /// How long requests in flight have after that
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000)]
    grace_ms: u64,
}

/// What all requests share.
#[derive(Default)]
struct Shared {
    count: AtomicU64,
    is_draining: AtomicBool,
}

#[trioxide::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), NurseryError<io::Error>> {
    let shared = Arc::<Shared>::default();
    let routes = Router::new()
        .route("/", get(async || "Hello from axum\n"))
        .route("/count", get(count).merge(post(add)))
        .route("/slow", get(slow))
        .layer(from_fn(limit))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(shared.clone());
    let listener = TcpListener::bind(&arguments.addr).await?;
    let address = listener.local_addr()?;
    let signals = stream::select(signal(SignalKind::INTERRUPT)?, signal(SignalKind::TERMINATE)?);
    nursery(async move |n| {
        let server = CancelScope::new();
        n.task("signals").service().spawn(end(signals, shared, server.handle(), arguments)); // until the server has ended
        println!("listening on http://{address}");
        let served = Server::new(move |stream, _peer| connection(stream, routes.clone())).run([listener]);
        match server.run(served).await {
            Ok(outcome) => outcome,
            Err(cancelled) => {
                eprintln!("requests were cut off ({cancelled})");
                Ok(())
            }
        }
    })
    .await
}

/// The three steps: see the top.
async fn end(
    mut signals: impl Stream<Item = ()> + Unpin,
    shared: Arc<Shared>,
    server: ScopeHandle,
    arguments: Arguments,
) {
    signals.next().await;
    shared.is_draining.store(true, Ordering::Relaxed);
    println!("draining");
    move_on_after(Duration::from_millis(arguments.drain_ms), signals.next()).await;
    println!("stopping");
    server.stop(Duration::from_millis(arguments.grace_ms));
    signals.next().await;
    server.cancel("another signal");
}

/// One connection, with all its requests. When the server stops it ends after the request that it is in.
async fn connection(stream: TcpStream, routes: Router) -> Result<(), hyper::Error> {
    let service = TowerToHyperService::new(routes);
    let mut served = pin!(http1::Builder::new().timer(Timer).serve_connection(stream, service));
    // Not `until_stopping(served)`: that would cut the request in flight.
    match select(served.as_mut(), pin!(stopping())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    match shared.is_draining.load(Ordering::Relaxed) {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn count(State(shared): State<Arc<Shared>>) -> String {
    format!("{}\n", shared.count.load(Ordering::Relaxed))
}

async fn add(State(shared): State<Arc<Shared>>) -> String {
    format!("{}\n", shared.count.fetch_add(1, Ordering::Relaxed) + 1)
}

async fn slow(request: Request) -> Response {
    let ms = request.uri().query().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
    match ms {
        Some(ms) => {
            sleep(Duration::from_millis(ms)).await;
            format!("after {ms} ms\n").into_response()
        }
        None => (StatusCode::BAD_REQUEST, "say how slow: /slow?ms=1000\n").into_response(),
    }
}

/// Each request has two seconds: a scope round it, and all that it has started ends with it.
async fn limit(request: Request, next: Next) -> Response {
    match move_on_after(Duration::from_secs(2), next.run(request)).await {
        Some(response) => response,
        None => (StatusCode::GATEWAY_TIMEOUT, "too slow\n").into_response(),
    }
}
