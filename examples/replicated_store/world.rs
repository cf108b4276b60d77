//! Three nodes with clients, on a network that breaks and heals: what was acknowledged is never lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use trioxide::prelude::*;
use trioxide_testing::simulate::{choose, note};

use crate::network::Network;
use crate::store::{NODES, NoMajority, Store};

const KEY: &str = "balance";
const WRITES: u64 = 5;
const READS: u64 = 5;

/// One client writes 1, 2, 3…, on some node; others read. A read that begins when a number has been acknowledged, or read, gives that one or a later one.
pub(crate) async fn run(bug: bool) {
    let network = Network::new();
    let known = Arc::new(AtomicU64::new(0));
    let store = |node| Store::new(network.clone(), node, bug);
    nursery(async |n| {
        n.task("cable").service().spawn(network.clone().break_and_heal());
        let (store_of_writer, acknowledged) = (store(choose(NODES)), known.clone());
        n.task("writer").spawn(async move {
            for number in 1..=WRITES {
                pause().await;
                // If there is no majority it may have got through or not, and may show later; but not after the next one, which has a newer stamp of the same node.
                if let Ok(()) = store_of_writer.put(KEY, number.to_string()).await {
                    acknowledged.fetch_max(number, Relaxed);
                    note(format_args!("{number} is acknowledged"));
                }
            }
        });
        for node in 0..NODES {
            let (store, known) = (store(node), known.clone());
            n.task(format!("reader {node}")).spawn(async move {
                for _ in 0..READS {
                    pause().await;
                    let _ = read(&store, &known).await;
                }
            });
        }
    })
    .await;
    network.heal();
    for node in 0..NODES {
        // What is lost at random may be so again, but not for ever.
        while read(&store(node), &known).await.is_err() {}
    }
}

async fn pause() {
    sleep(Duration::from_millis(choose(200) as u64)).await;
}

async fn read(store: &Store<Network>, known: &AtomicU64) -> Result<(), NoMajority> {
    let before = known.load(Relaxed);
    let read = store.get(KEY).await?.map_or(0, |number| number.parse().expect("only numbers are written"));
    note(format_args!("node {} reads {read}", store.node()));
    assert!(read >= before, "an update is lost: node {} reads {read}, but {before} was there before", store.node());
    known.fetch_max(read, Relaxed);
    Ok(())
}
