//! The server's side: the deadline becomes a scope, and a client that hangs up cancels it.
//!
//! Invariant of the handler in a nursery: the task has put the outcome into the slot before it ends well; so who has awaited it finds it there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tower_layer::Layer;
use tower_service::Service;
use trioxide_runtime::{CancelScope, Nursery, ScopeHandle, Task, now};

use super::DeadlineHeader;
use super::header::Form;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// `None`: the nursery is closed.
type Spawn = Arc<dyn Fn(Boxed<()>) -> Option<Task<()>> + Send + Sync>;

/// Runs each request in a scope with the deadline that its header says.
///
/// Without the header there is no deadline but those around. What is answered in place of the handler:
///
/// | when | gRPC | HTTP |
/// | --- | --- | --- |
/// | the deadline has passed | status 4, `DEADLINE_EXCEEDED` | 504 |
/// | the header cannot be read | status 13, `INTERNAL`, as gRPC for Go does | 400 |
/// | the handler's nursery is closed, or was cancelled | status 14, `UNAVAILABLE` | 503 |
///
/// The scope ends with the head of the answer: a body that is made later, as by a stream of gRPC, is not in it.
///
/// ```
/// use tower_layer::Layer;
/// use trioxide_io::deadline::{AcceptDeadlineLayer, DeadlineHeader};
/// # struct Routes;
/// let service = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).layer(Routes);
/// # let _ = service;
/// ```
#[derive(Clone)]
pub struct AcceptDeadlineLayer {
    header: DeadlineHeader,
    spawn: Option<Spawn>,
}

impl AcceptDeadlineLayer {
    /// By this header. The handler runs in the future of the call, and is dropped if that is.
    pub fn new(header: DeadlineHeader) -> AcceptDeadlineLayer {
        AcceptDeadlineLayer { header, spawn: None }
    }

    /// Runs each handler as a task of `nursery`, that of the connection, say. When hyper drops the call, because the client has hung up or has reset
    /// the stream, the handler's scope is cancelled, its clean-up runs, and the nursery waits for that.
    ///
    /// A panic of the handler is the nursery's. What is cancelled round the call, and not round the nursery, reaches the handler as a hang-up.
    pub fn in_nursery<E: Send + 'static>(mut self, nursery: &Nursery<E>) -> AcceptDeadlineLayer {
        let nursery = nursery.clone();
        self.spawn = Some(Arc::new(move |handler| nursery.task("handler").try_spawn(handler).ok()));
        self
    }
}

impl fmt::Debug for AcceptDeadlineLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptDeadlineLayer").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AcceptDeadlineLayer {
    type Service = AcceptDeadline<S>;

    fn layer(&self, inner: S) -> AcceptDeadline<S> {
        AcceptDeadline { inner, layer: self.clone() }
    }
}

/// A service whose requests end with their deadlines: see [`AcceptDeadlineLayer`].
///
/// # Cancellation
/// That of the handler; the call's future is a checkpoint where the handler is. Dropped: the handler is dropped, or cancelled if it runs in a nursery.
#[derive(Clone, Debug)]
pub struct AcceptDeadline<S> {
    inner: S,
    layer: AcceptDeadlineLayer,
}

impl<S, B, R> Service<Request<B>> for AcceptDeadline<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Send + 'static, Future: Send + 'static>,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Boxed<Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let form = self.layer.header.form();
        let scope = match self.layer.header.read(request.headers()) {
            Ok(None) => CancelScope::new(),
            // What lies beyond the clock's end never comes.
            Ok(Some(left)) => match now().checked_add(left) {
                Some(at) => CancelScope::new().deadline_at(at),
                None => CancelScope::new(),
            },
            Err(bad) => {
                let refusal = refusal(form, Refused::BadHeader, &bad.to_string());
                return Box::pin(async move { Ok(refusal) });
            }
        };
        let handle = scope.handle();
        let handler = self.inner.call(request);
        let handled = async move {
            match scope.run(handler).await {
                Ok(answered) => answered,
                Err(_) => Ok(refusal(form, Refused::TooSlow, "the deadline has passed")),
            }
        };
        match &self.layer.spawn {
            None => Box::pin(handled),
            Some(spawn) => Box::pin(in_nursery(form, spawn.clone(), handle, handled)),
        }
    }
}

async fn in_nursery<R, E>(
    form: Form,
    spawn: Spawn,
    scope: ScopeHandle,
    handled: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
) -> Result<Response<R>, E>
where
    R: Default + Send + 'static,
    E: Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let filled = slot.clone();
    let task = spawn(Box::pin(async move {
        let outcome = handled.await;
        *filled.lock() = Some(outcome);
    }));
    // Dropped at the end, too: a scope that has ended takes no notice.
    let _hang_up = HangUp(scope);
    let ended_well = match task {
        Some(task) => task.await.is_ok(),
        None => false,
    };
    let outcome = slot.lock().take();
    match outcome {
        Some(outcome) if ended_well => outcome,
        _ => Ok(refusal(form, Refused::Gone, "the server is stopping")),
    }
}

struct HangUp(ScopeHandle);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.cancel("the client has hung up");
    }
}

#[derive(Clone, Copy)]
enum Refused {
    BadHeader,
    TooSlow,
    Gone,
}

/// An answer without a body. gRPC's has the status 200 of HTTP, and its own in the headers, which then are its trailers.
fn refusal<R: Default>(form: Form, why: Refused, text: &str) -> Response<R> {
    let (http, grpc) = match why {
        Refused::BadHeader => (StatusCode::BAD_REQUEST, 13),
        Refused::TooSlow => (StatusCode::GATEWAY_TIMEOUT, 4),
        Refused::Gone => (StatusCode::SERVICE_UNAVAILABLE, 14),
    };
    let mut response = Response::new(R::default());
    match form {
        Form::Milliseconds => *response.status_mut() = http,
        Form::Grpc => {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(grpc));
            let message = HeaderValue::try_from(percent_encoded(text)).expect("what is left is printable ASCII");
            headers.insert("grpc-message", message);
        }
    }
    response
}

/// As gRPC wants its messages: what is not printable ASCII, and the percent sign, as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
