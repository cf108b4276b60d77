//! The HTTP service, on axum. It passes on what is left of its own deadline, and a hang-up as well: when its scope is cut, so is its call.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::future::{Either, select};
use hyper::client::conn::http2;
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use tonic::{Code, Status};
use tower_layer::Layer;
use trioxide::io::Server;
use trioxide::io::deadline::{AcceptDeadlineLayer, DeadlineHeader, SendDeadlineLayer};
use trioxide::io::hyper_rt::{NurseryExecutor, Timer};
use trioxide::prelude::*;

use super::reported;
use super::waiter::{self, Channel, WaitReply};

pub(crate) async fn serve(addr: &str, upstream: String) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let routes = Router::new().route("/wait", get(wait)).with_state(Arc::<str>::from(upstream));
    Server::new(move |stream, _peer| connection(stream, routes.clone())).run([listener]).await
}

/// One connection, with all its requests, each in a scope of its own.
async fn connection(stream: TcpStream, routes: Router) -> Result<(), hyper::Error> {
    let outcome = nursery(async |n: Nursery<Infallible>| {
        let routes = routes.layer(AcceptDeadlineLayer::new(DeadlineHeader::http()).in_nursery(&n));
        let mut served =
            pin!(http1::Builder::new().timer(Timer).serve_connection(stream, TowerToHyperService::new(routes)));
        Ok(match select(served.as_mut(), pin!(stopping())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        })
    });
    outcome.await.unwrap_or(Ok(()))
}

async fn wait(State(upstream): State<Arc<str>>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let Some(ms) = query.and_then(|query| query.strip_prefix("ms=")?.parse().ok()) else {
        return (StatusCode::BAD_REQUEST, "say for how long: /wait?ms=1000\n".to_owned());
    };
    match reported(format!("ask for {ms}"), ask(&upstream, ms)).await {
        Ok(reply) => (StatusCode::OK, format!("{}\n", reply.text)),
        Err(status) if status.code() == Code::DeadlineExceeded => {
            (StatusCode::GATEWAY_TIMEOUT, "too slow\n".to_owned())
        }
        Err(status) => (StatusCode::BAD_GATEWAY, format!("{}: {}\n", status.code(), status.message())),
    }
}

/// One call, over a connection of its own, which ends with it. (A service with many calls would keep the connection, in a task of its nursery.)
async fn ask(upstream: &str, ms: u64) -> Result<WaitReply, Status> {
    let unavailable = |error: String| Status::unavailable(format!("{upstream}: {error}"));
    let stream = TcpStream::connect(upstream).await.map_err(|error| unavailable(error.to_string()))?;
    let answered = nursery(async |n: Nursery<Status>| {
        let mut http = http2::Builder::new(NurseryExecutor::new(n.clone()));
        let (sender, driver) =
            http.timer(Timer).handshake(stream).await.map_err(|error| unavailable(error.to_string()))?;
        n.task("connection").spawn(async move { drop(driver.await) }); // its error is the call's, too
        let channel = SendDeadlineLayer::new(DeadlineHeader::grpc()).layer(Channel(sender));
        waiter::wait(channel, upstream, ms).await
    });
    let answered = answered.await;
    if answered.is_err() {
        // When the deadline has passed, the connection's task may have been cut before the call, which then fails. Here the call is cut, too.
        checkpoint().await;
    }
    answered.map_err(|error| match error {
        NurseryError::Failed(errors) => errors.into_first(),
        error => Status::internal(error.to_string()),
    })
}
