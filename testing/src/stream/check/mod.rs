//! What every stream promises, as suites: numbers 191 to 200 of the conformance list. After Trio's `check_one_way_stream` and its kin.
//!
//! A suite is given a function that makes a new pair of connected ends, and calls it for each check. It panics at the first promise that is not
//! kept, with the number of the behaviour and what was expected. It is to be run on one worker and on several: see [`on_each`](crate::on_each).
//!
//! | file | duty |
//! | --- | --- |
//! | `one_way` | 191 to 197 |
//! | `clogged` | 192, 197, 198 and 200, of a stream that has no room |
//! | `two_way` | 199, 200 |

mod clogged;
mod one_way;
mod two_way;

use std::future::Future;
use std::io;
use std::pin::Pin;

use futures_util::poll;
use trioxide_io::stream::{HalfCloseableStream, ReceiveStream, SendStream};
use trioxide_runtime::{CancelScope, checkpoint};

/// Checks a stream that goes one way, from the first of what `make` gives to the second: behaviours 191 to 197.
///
/// ```
/// use trioxide_testing::on_each;
/// use trioxide_testing::stream::{check_clogged_stream, check_one_way_stream, lockstep_stream_one_way_pair};
///
/// on_each(&[1, 2], async || {
///     check_one_way_stream(async || lockstep_stream_one_way_pair()).await;
///     check_clogged_stream(async || lockstep_stream_one_way_pair()).await;
/// });
/// ```
///
/// # Cancellation
/// It is a checkpoint wherever the streams are. Cancelled, it has checked a part, and drops the streams; so with all checks here.
///
/// # Panics
/// If a promise is not kept. Outside a run.
pub async fn check_one_way_stream<S, R>(make: impl AsyncFn() -> (S, R))
where
    S: SendStream + 'static,
    R: ReceiveStream + 'static,
{
    one_way::check(&make).await;
}

/// Checks what a stream promises when it has no room: behaviours 192, 197 and 198. `make` gives a pair whose first end is *clogged*: its `writable` waits
/// until something is read from the second. What a kernel has room for may grow while the check begins; `make` is then called again.
///
/// # Panics
/// If a promise is not kept. Outside a run.
pub async fn check_clogged_stream<S, R>(make: impl AsyncFn() -> (S, R))
where
    S: SendStream + 'static,
    R: ReceiveStream + 'static,
{
    clogged::check(&make).await;
}

/// Checks a stream that goes both ways: [`check_one_way_stream`] in either direction, and behaviour 199, both at once.
///
/// # Panics
/// If a promise is not kept. Outside a run.
pub async fn check_two_way_stream<A, B>(make: impl AsyncFn() -> (A, B))
where
    A: SendStream + ReceiveStream + 'static,
    B: SendStream + ReceiveStream + 'static,
{
    let swapped = async || {
        let (one, other) = make().await;
        (other, one)
    };
    one_way::check(&make).await;
    one_way::check(&swapped).await;
    two_way::check(&make).await;
}

/// Checks a stream whose directions end apart: [`check_two_way_stream`], and behaviour 200 in either direction.
///
/// # Panics
/// If a promise is not kept. Outside a run.
pub async fn check_half_closeable_stream<A, B>(make: impl AsyncFn() -> (A, B))
where
    A: HalfCloseableStream + 'static,
    B: HalfCloseableStream + 'static,
{
    let swapped = async || {
        let (one, other) = make().await;
        (other, one)
    };
    check_two_way_stream(&make).await;
    two_way::check_half_close(&make).await;
    two_way::check_half_close(&swapped).await;
}

/// As [`check_clogged_stream`], and what behaviour 200 says of it: to end while another writes is [`Busy`](trioxide_io::Busy).
///
/// # Panics
/// If a promise is not kept. Outside a run.
pub async fn check_clogged_half_closeable_stream<A, B>(make: impl AsyncFn() -> (A, B))
where
    A: HalfCloseableStream + 'static,
    B: ReceiveStream + 'static,
{
    clogged::check(&make).await;
    clogged::ending_is_busy(&make).await;
}

/// Polls until the future waits, not only for its turn.
async fn waits<F: Future>(mut future: Pin<&mut F>, number: u32, what: &str) {
    for _ in 0..3 {
        assert!(poll!(future.as_mut()).is_pending(), "{number}: {what} has to wait");
        checkpoint().await;
    }
}

/// Whether the future is cut in a cancelled scope, at its first poll.
async fn is_cut<F: Future>(future: F) -> bool {
    let scope = CancelScope::new();
    scope.handle().cancel("before it began");
    scope.run(future).await.is_err()
}

/// Reads until the end.
async fn drain(stream: &impl ReceiveStream) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 50_000]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buf[..count]),
        }
    }
}

/// Bytes without a short period, so that a lost or doubled piece shows.
fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u8(..)).collect()
}
