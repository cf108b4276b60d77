//! Happy Eyeballs: a race of connection attempts with staggered starts, in a nursery.
//!
//! Each attempt is a child. The body starts one, and waits until it has failed or has used up its head start, before it starts
//! the next. Who connects first cancels the nursery, which closes all others; and the nursery does not end before they
//! are closed. Nothing here needs cleaning up: there is no list of sockets, no timer to disarm, no task to wait for.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use trioxide_runtime::{move_on_after, nursery};

/// The attempts that failed, in the order of the attempts.
pub(super) type Failures = Vec<(SocketAddr, io::Error)>;

struct Race<S> {
    winner: Option<S>,
    failures: Vec<(usize, SocketAddr, io::Error)>,
}

/// The first that `connect` connects to, each address with a head start of `delay`.
pub(super) async fn first<S, F, Fut>(addresses: Vec<SocketAddr>, delay: Duration, connect: F) -> Result<S, Failures>
where
    S: Send + 'static,
    F: Fn(SocketAddr) -> Fut,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
{
    let race = Arc::new(Mutex::new(Race { winner: None, failures: Vec::new() }));
    nursery(async |n| {
        for (number, address) in addresses.into_iter().enumerate() {
            if race.lock().winner.is_some() {
                break;
            }
            let (attempt, race, all) = (connect(address), race.clone(), n.clone());
            let attempt = n.task(format!("connect to {address}")).spawn(async move {
                match attempt.await {
                    Ok(stream) => {
                        // Two may connect at once: the second is closed here.
                        race.lock().winner.get_or_insert(stream);
                        all.cancel("connected");
                    }
                    Err(error) => race.lock().failures.push((number, address, error)),
                }
            });
            // The end of the attempt ends the wait: after a failure the next is started at once.
            if let Some(Err(_cancelled)) = move_on_after(delay, attempt).await {
                break;
            }
        }
    })
    .await;
    let mut race = race.lock();
    race.winner.take().ok_or_else(|| {
        let mut failures = std::mem::take(&mut race.failures);
        failures.sort_by_key(|(number, ..)| *number);
        failures.into_iter().map(|(_, address, error)| (address, error)).collect()
    })
}

/// The families take turns, the first address's family first; within each the resolver's order stays.
pub(super) fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut this, mut next): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut order = Vec::new();
    while let Some(address) = this.pop_front() {
        order.push(address);
        if !next.is_empty() {
            std::mem::swap(&mut this, &mut next);
        }
    }
    order
}
