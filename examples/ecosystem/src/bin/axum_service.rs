//! An HTTP service on axum, with state that all requests share, a time limit for each, and a stop that answers what is in flight.
//!
//! axum needs no tokio runtime for this: hyper serves each connection in a task of the server's nursery.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin axum_service -- --addr 127.0.0.1:8082
//! curl http://127.0.0.1:8082/count ; curl 'http://127.0.0.1:8082/slow?ms=9999'
//! ```

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Parser;
use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use trioxide::io::Server;
use trioxide::io::hyper_rt::Timer;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "An HTTP service on axum")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8082")]
    addr: String,
}

/// What all requests share.
#[derive(Default)]
struct Counter(AtomicU64);

#[trioxide::main]
async fn main() -> ExitCode {
    match serve(&Arguments::parse().addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(addr: &str) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(async || "Hello from axum\n"))
        .route("/count", get(count).merge(post(add)))
        .route("/slow", get(slow))
        .layer(from_fn(limit))
        .with_state(Arc::new(Counter::default()));
    let listener = TcpListener::bind(addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Server::new(move |stream, _peer| connection(stream, routes.clone())).run([listener]).await
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

async fn count(State(counter): State<Arc<Counter>>) -> String {
    format!("{}\n", counter.0.load(Ordering::Relaxed))
}

async fn add(State(counter): State<Arc<Counter>>) -> String {
    format!("{}\n", counter.0.fetch_add(1, Ordering::Relaxed) + 1)
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
