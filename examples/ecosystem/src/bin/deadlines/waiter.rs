//! The service `trioxide.example.Waiter`, by hand: no compiler of protocol buffers is needed to build this. Generated code looks like it.
//!
//! ```proto
//! service Waiter { rpc Wait (WaitRequest) returns (WaitReply); }
//! message WaitRequest { uint64 ms = 1; }
//! message WaitReply { string text = 1; }
//! ```

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic_prost::ProstCodec;
use tower_service::Service;

const WAIT: &str = "/trioxide.example.Waiter/Wait";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WaitRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WaitReply {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// What a server does.
pub(crate) trait Waiter: Clone + Send + Sync + 'static {
    fn wait(self, request: WaitRequest) -> impl Future<Output = Result<WaitReply, Status>> + Send;
}

/// The server's side: from HTTP/2 to a [`Waiter`].
#[derive(Clone)]
pub(crate) struct WaiterServer<W>(pub(crate) W);

impl<W: Waiter, B> Service<Request<B>> for WaiterServer<W>
where
    B: http_body::Body<Data: Send, Error: Into<tonic::codegen::StdError> + Send> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.uri().path() != WAIT {
            return Box::pin(ready(Ok(Status::unimplemented("only Waiter/Wait is here").into_http())));
        }
        let method = WaitMethod(self.0.clone());
        Box::pin(async move { Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(method, request).await) })
    }
}

struct WaitMethod<W>(W);

impl<W: Waiter> tonic::server::UnaryService<WaitRequest> for WaitMethod<W> {
    type Response = WaitReply;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<WaitReply>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<WaitRequest>) -> Self::Future {
        let waited = self.0.clone().wait(request.into_inner());
        Box::pin(async move { waited.await.map(tonic::Response::new) })
    }
}

/// The client's side, over any HTTP/2.
pub(crate) async fn wait<T>(channel: T, authority: &str, ms: u64) -> Result<WaitReply, Status>
where
    T: GrpcService<Body, ResponseBody: Send + 'static>,
    <T::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError>,
{
    let origin =
        format!("http://{authority}").parse::<Uri>().map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut client = tonic::client::Grpc::with_origin(channel, origin);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let request = tonic::Request::new(WaitRequest { ms });
    let reply = client.unary(request, PathAndQuery::from_static(WAIT), ProstCodec::default()).await?;
    Ok(reply.into_inner())
}

/// A connection of hyper as a service of tower.
pub(crate) struct Channel(pub(crate) SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
