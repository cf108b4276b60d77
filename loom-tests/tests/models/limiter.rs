//! The capacity limiter: hand-over against a wait that begins or is dropped, and against a change of the total.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::CapacityLimiter;

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn release_against_a_wait_that_begins() {
    explore("limiter: release against a wait that begins", 2, || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = Arc::clone(&limiter).try_acquire_owned().unwrap();
        let releasing = thread::spawn(move || drop(token));
        drop(block_on(limiter.acquire()));
        releasing.join().unwrap();
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn release_against_a_wait_that_is_dropped() {
    explore("limiter: release against a wait that is dropped", 2, || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = Arc::clone(&limiter).try_acquire_owned().unwrap();
        let mut second = pin!(limiter.acquire());
        let releasing = {
            let mut first = pin!(limiter.acquire());
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            thread::spawn(move || drop(token))
        };
        drop(block_on(second));
        releasing.join().unwrap();
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn more_tokens_against_a_release() {
    explore("limiter: more tokens against a release", 2, || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = Arc::clone(&limiter).try_acquire_owned().unwrap();
        let mut first = pin!(limiter.acquire());
        let mut second = pin!(limiter.acquire());
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let raising = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || limiter.set_total(2))
        };
        drop(token);
        raising.join().unwrap();
        let (first, second) = (poll_once(first), poll_once(second));
        assert!(first.is_ready() && second.is_ready());
        drop((first, second));
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}
