//! Tower's time-out on our scopes (feature `tower`): tower's own panics outside of tokio.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;
use trioxide_runtime::fail_after;

/// A time limit for each call of a service, as a scope round it: what the call has started ends with it, clean-up included. The
/// error is then [`TooSlow`](trioxide_runtime::TooSlow).
///
/// ```
/// use std::time::Duration;
/// use tower_layer::Layer;
/// use trioxide_io::TimeoutLayer;
/// # struct Service;
/// let limited = TimeoutLayer::new(Duration::from_secs(5)).layer(Service);
/// # let _ = limited;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer(Duration);

impl TimeoutLayer {
    /// So long from the call on.
    pub fn new(limit: Duration) -> TimeoutLayer {
        TimeoutLayer(limit)
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout { inner, limit: self.0 }
    }
}

/// A service with a time limit: see [`TimeoutLayer`].
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Duration,
}

impl<S, R> Service<R> for Timeout<S>
where
    S: Service<R, Error: Into<Box<dyn Error + Send + Sync>>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let limited = fail_after(self.limit, self.inner.call(request));
        Box::pin(async move { limited.await?.map_err(Into::into) })
    }
}
