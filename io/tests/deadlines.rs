//! Deadlines that cross machines, on both sides, without a network; what is read and written is tested beside the code.
#![cfg(feature = "tower")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;
use trioxide_io::deadline::{AcceptDeadlineLayer, DeadlineHeader, SendDeadlineLayer};
use trioxide_runtime::{
    CancelScope, EffectiveDeadline, Nursery, checkpoint, current_effective_deadline, fail_after, finally,
    move_on_after, now, nursery, sleep, sleep_forever,
};
use trioxide_sync::Event;
use trioxide_testing::{on_each, on_each_with_clock};

const ALL: &[usize] = &[1, 2, 8];
const SECOND: Duration = Duration::from_secs(1);

type Answer = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

/// A service made of a closure that answers with a text.
struct Handler<F>(F);

impl<F, Fut> Service<Request<()>> for Handler<F>
where
    F: FnMut(Request<()>) -> Fut,
    Fut: Future<Output = String> + Send + 'static,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Answer {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(Response::new(answer.await)) })
    }
}

fn with_header(name: &'static str, value: &str) -> Request<()> {
    Request::builder().header(name, value).body(()).unwrap()
}

fn grpc_status(response: &Response<String>) -> &str {
    response.headers()["grpc-status"].to_str().unwrap()
}

#[test]
fn a_request_says_how_much_is_left() {
    on_each_with_clock(ALL, async |_clock| {
        let echo =
            Handler(|request: Request<()>| async move { format!("{:?}", request.headers().get("grpc-timeout")) });
        let mut client = SendDeadlineLayer::new(DeadlineHeader::grpc()).layer(echo);
        let mut sent = async |request| client.call(request).await.unwrap().into_body();

        assert_eq!(sent(Request::new(())).await, "None");
        assert_eq!(sent(with_header("grpc-timeout", "5S")).await, r#"Some("5S")"#, "no deadline: as it was");
        let late = fail_after(2 * SECOND, async {
            sleep(Duration::from_millis(300)).await;
            fail_after(60 * SECOND, sent(with_header("grpc-timeout", "5S"))).await.unwrap()
        });
        assert_eq!(late.await.unwrap(), r#"Some("1700000u")"#, "the earlier one counts");
        let scope = CancelScope::new();
        scope.handle().cancel("before");
        // Not at a checkpoint, so it is made all the same.
        assert_eq!(scope.run(async { sent(Request::new(())).now_or_never() }).await.unwrap().unwrap(), r#"Some("1n")"#);
    });
}

#[test]
fn a_header_becomes_a_scope_round_the_handler() {
    on_each_with_clock(ALL, async |clock| {
        let left = Handler(|_| async move { format!("{:?}", current_effective_deadline().remaining()) });
        let mut service = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).layer(left);
        assert_eq!(service.call(with_header("grpc-timeout", "7S")).await.unwrap().body(), "Some(7s)");
        assert_eq!(service.call(with_header("grpc-timeout", "99999999H")).await.unwrap().status(), StatusCode::OK);
        assert_eq!(service.call(Request::new(())).await.unwrap().body(), "None");
        let under = move_on_after(SECOND, service.call(with_header("grpc-timeout", "7S")));
        assert_eq!(under.await.unwrap().unwrap().body(), "Some(1s)", "the earlier one counts");

        let slow = || {
            Handler(|_| async move {
                finally(sleep_forever(), sleep(SECOND)).await;
                String::new()
            })
        };
        let answer =
            AcceptDeadlineLayer::new(DeadlineHeader::grpc()).layer(slow()).call(with_header("grpc-timeout", "7S"));
        let answer = answer.await.unwrap();
        assert_eq!((grpc_status(&answer), answer.status()), ("4", StatusCode::OK));
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(clock.elapsed(), 8 * SECOND, "the clean-up has ended before the answer");
        let http = DeadlineHeader::http();
        let answer = AcceptDeadlineLayer::new(http.clone())
            .layer(slow())
            .call(with_header("x-envoy-expected-rq-timeout-ms", "10"));
        assert_eq!(answer.await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    });
}

#[test]
fn a_bad_header_is_answered_and_the_handler_not_called() {
    on_each(ALL, async || {
        let never = || Handler(|_| async { panic!("called") });
        let answer =
            AcceptDeadlineLayer::new(DeadlineHeader::grpc()).layer(never()).call(with_header("grpc-timeout", "5%"));
        let answer = answer.await.unwrap();
        assert_eq!((grpc_status(&answer), answer.status()), ("13", StatusCode::OK));
        let message = answer.headers()["grpc-message"].to_str().unwrap();
        assert!(message.contains(r#"grpc-timeout: "5%25""#), "{message}");
        let http = DeadlineHeader::http();
        let answer =
            AcceptDeadlineLayer::new(http).layer(never()).call(with_header("x-envoy-expected-rq-timeout-ms", "soon"));
        assert_eq!(answer.await.unwrap().status(), StatusCode::BAD_REQUEST);
    });
}

/// A handler that waits for ever, says when it has begun, and counts what of its clean-up is done.
fn forever(
    began: Arc<Event>,
    cleaned: Arc<AtomicU32>,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible, Future = Answer> {
    Handler(move |_| {
        let (began, cleaned) = (began.clone(), cleaned.clone());
        async move {
            let body = async move {
                began.set();
                sleep_forever().await;
            };
            let clean_up = async move {
                checkpoint().await;
                cleaned.fetch_add(1, Ordering::Relaxed);
            };
            finally(body, clean_up).await;
            String::new()
        }
    })
}

#[test]
fn a_client_that_hangs_up_cancels_the_handler_and_the_nursery_waits_for_its_clean_up() {
    on_each(ALL, async || {
        let (began, cleaned) = (Arc::new(Event::new()), Arc::new(AtomicU32::new(0)));
        nursery(async |n: Nursery<Infallible>| {
            let layer = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).in_nursery(&n);
            let mut call = layer.layer(forever(began.clone(), cleaned.clone())).call(Request::new(()));
            assert!((&mut call).now_or_never().is_none());
            began.wait().await;
            drop(call);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(cleaned.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_scope_round_the_call_reaches_the_handler_as_a_hang_up() {
    on_each_with_clock(ALL, async |clock| {
        let cleaned = Arc::new(AtomicU32::new(0));
        nursery(async |n: Nursery<Infallible>| {
            let layer = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).in_nursery(&n);
            let call =
                layer.layer(forever(Arc::new(Event::new()), cleaned.clone())).call(with_header("grpc-timeout", "1H"));
            assert!(move_on_after(SECOND, call).await.is_none());
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!((cleaned.load(Ordering::Relaxed), clock.elapsed()), (1, SECOND));
    });
}

#[test]
fn handlers_in_a_nursery_answer_and_have_deadlines_too() {
    on_each_with_clock(ALL, async |clock| {
        let cleaned = Arc::new(AtomicU32::new(0));
        nursery(async |n: Nursery<Infallible>| {
            let layer = AcceptDeadlineLayer::new(DeadlineHeader::http()).in_nursery(&n);
            let mut quick = layer.layer(Handler(|_| async { format!("{:?}", current_effective_deadline()) }));
            assert_eq!(quick.call(Request::new(())).await.unwrap().body(), &format!("{:?}", EffectiveDeadline::Never));
            let at = EffectiveDeadline::At(now() + SECOND);
            let answer = quick.call(with_header("x-envoy-expected-rq-timeout-ms", "1000"));
            assert_eq!(answer.await.unwrap().body(), &format!("{at:?}"));
            let mut slow = layer.layer(forever(Arc::new(Event::new()), cleaned.clone()));
            let answer = slow.call(with_header("x-envoy-expected-rq-timeout-ms", "2000"));
            assert_eq!(answer.await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!((cleaned.load(Ordering::Relaxed), clock.elapsed()), (1, 2 * SECOND));
    });
}

/// The answer is there, and the call is dropped before it has fetched it.
#[test]
fn an_answer_that_nobody_fetches_goes_with_the_call() {
    on_each(ALL, async || {
        nursery(async |n: Nursery<Infallible>| {
            let (open, answered) = (Arc::new(Event::new()), Arc::new(Event::new()));
            let value = Arc::new(());
            let (waits, says, held) = (open.clone(), answered.clone(), value.clone());
            let handler = Handler(move |_| {
                let (waits, says, held) = (waits.clone(), says.clone(), held.clone());
                async move {
                    waits.wait().await;
                    drop(held);
                    says.set();
                    String::new()
                }
            });
            let mut service = AcceptDeadlineLayer::new(DeadlineHeader::grpc()).in_nursery(&n).layer(handler);
            let mut call = service.call(Request::new(()));
            assert!((&mut call).now_or_never().is_none());
            open.set();
            answered.wait().await;
            drop((call, service));
            assert_eq!(Arc::strong_count(&value), 1);
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_closed_nursery_is_told_to_the_client() {
    on_each(ALL, async || {
        let mut layers = Vec::new();
        nursery(async |n: Nursery<Infallible>| {
            layers.push(AcceptDeadlineLayer::new(DeadlineHeader::grpc()).in_nursery(&n));
            layers.push(AcceptDeadlineLayer::new(DeadlineHeader::http()).in_nursery(&n));
            Ok(())
        })
        .await
        .unwrap();
        let never = || Handler(|_| async { panic!("called") });
        let answer = layers[0].layer(never()).call(Request::new(())).await.unwrap();
        assert_eq!(grpc_status(&answer), "14");
        let answer = layers[1].layer(never()).call(Request::new(())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}
