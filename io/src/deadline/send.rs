//! The client's side: what is left goes along.

use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::DeadlineHeader;

/// Says in each request how much is left until the caller's effective deadline; nothing if the caller has none.
///
/// ```
/// use tower_layer::Layer;
/// use trioxide_io::deadline::{DeadlineHeader, SendDeadlineLayer};
/// # struct Client;
/// let client = SendDeadlineLayer::new(DeadlineHeader::grpc()).layer(Client);
/// # let _ = client;
/// ```
#[derive(Clone, Debug)]
pub struct SendDeadlineLayer(DeadlineHeader);

impl SendDeadlineLayer {
    /// In this header.
    pub fn new(header: DeadlineHeader) -> SendDeadlineLayer {
        SendDeadlineLayer(header)
    }
}

impl<S> Layer<S> for SendDeadlineLayer {
    type Service = SendDeadline<S>;

    fn layer(&self, inner: S) -> SendDeadline<S> {
        SendDeadline { inner, header: self.0.clone() }
    }
}

/// A client that sends deadlines: see [`SendDeadlineLayer`].
///
/// The deadline is that of the code that makes the call, at that moment. `call` panics outside a run.
#[derive(Clone, Debug)]
pub struct SendDeadline<S> {
    inner: S,
    header: DeadlineHeader,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for SendDeadline<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.header.write_current(request.headers_mut());
        self.inner.call(request)
    }
}
