//! The gRPC service. Each call is a task of its connection's nursery, in a scope with the deadline that the call brings along.

use std::convert::Infallible;
use std::pin::pin;

use futures_util::future::{Either, select};
use hyper::server::conn::http2;
use hyper_util::service::TowerToHyperService;
use tonic::Status;
use tower_layer::Layer;
use trioxide::current_effective_deadline;
use trioxide::io::Server;
use trioxide::io::deadline::{AcceptDeadlineLayer, DeadlineHeader};
use trioxide::io::hyper_rt::{NurseryExecutor, Timer};
use trioxide::prelude::*;

use super::reported;
use super::waiter::{WaitReply, WaitRequest, Waiter, WaiterServer};

pub(crate) async fn serve(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Server::new(|stream, _peer| connection(stream)).run([listener]).await
}

/// One connection with all its calls. When the server stops it takes no more of them, and ends with the last.
async fn connection(stream: TcpStream) -> Result<(), hyper::Error> {
    let outcome = nursery(async |n: Nursery<Infallible>| {
        let deadlines = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).in_nursery(&n);
        let service = TowerToHyperService::new(deadlines.layer(WaiterServer(Patient)));
        let mut http = http2::Builder::new(NurseryExecutor::new(n.clone()));
        let mut served = pin!(http.timer(Timer).serve_connection(stream, service));
        Ok(match select(served.as_mut(), pin!(stopping())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        })
    });
    outcome.await.unwrap_or(Ok(())) // of a nursery without errors: only a connection that was cut
}

#[derive(Clone)]
struct Patient;

impl Waiter for Patient {
    async fn wait(self, request: WaitRequest) -> Result<WaitReply, Status> {
        let limit = match current_effective_deadline().remaining() {
            Some(left) => format!("for at most {} ms", left.as_millis()),
            None => "without a deadline".to_owned(),
        };
        println!("asked to wait {} ms, {limit}", request.ms);
        reported(format!("wait {}", request.ms), sleep(Duration::from_millis(request.ms))).await;
        Ok(WaitReply { text: format!("waited {} ms, {limit}", request.ms) })
    }
}
