//! Three nodes with clients, on a network that breaks and heals: what was acknowledged is never lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use trioxide::prelude::*;
use trioxide_testing::network::{Link, Network};
use trioxide_testing::simulate::{choose, note};

use crate::store::{NODES, NoMajority, Node};

const KEY: &str = "balance";
const WRITES: u64 = 5;
const READS: u64 = 5;

/// One client writes 1, 2, 3…, on some node; others read. A read that begins when a number has been acknowledged, or read, gives that one or a later one.
pub(crate) async fn run(bug: bool) {
    let network = Network::new(0); // All chance is that of the simulation.
    network.set_default_link(Link::new().jitter(Duration::from_millis(20)).loss(0.02).resets(0.005));
    let nodes = [0, 1, 2].map(|number| Node::new(number, bug));
    network.run(live(&network, &nodes)).await;
}

async fn live(network: &Network, nodes: &[Arc<Node>; 3]) {
    let known = Arc::new(AtomicU64::new(0));
    nursery(async |n| {
        // These three go on until the clients have ended.
        for node in nodes {
            let (host, node) = (network.host(node.name()), node.clone());
            n.task(node.name()).service().spawn(async move { drop(host.run(node.serve()).await) });
        }
        n.task("cable").service().spawn(break_and_heal(network.clone()));
        let (host, node) = at(network, nodes, choose(3));
        let acknowledged = known.clone();
        n.task(format!("writer at {}", node.name()))
            .spawn(async move { drop(host.run(write(&node, &acknowledged)).await) });
        for number in 0..3 {
            let (host, node) = at(network, nodes, number);
            let known = known.clone();
            n.task(format!("reader at {}", node.name())).spawn(async move {
                let reads = async {
                    for _ in 0..READS {
                        pause(300).await;
                        let _ = read(&node, &known).await;
                    }
                };
                drop(host.run(reads).await);
            });
        }
    })
    .await;
}

fn at(network: &Network, nodes: &[Arc<Node>; 3], number: usize) -> (trioxide_testing::network::Host, Arc<Node>) {
    (network.host(NODES[number]), nodes[number].clone())
}

/// Cuts one node off from the others now and then, for a while. For ever.
async fn break_and_heal(network: Network) {
    loop {
        pause(300).await;
        let mut others = NODES.to_vec();
        let node = others.swap_remove(choose(3));
        note(format_args!("{node} is cut off"));
        network.partition(&[node], &others);
        pause(1000).await;
        note("all are connected");
        network.heal();
    }
}

async fn write(node: &Node, known: &AtomicU64) {
    for number in 1..=WRITES {
        pause(300).await;
        // If there is no majority it may have got through or not, and may show later; but not after the next one, which has a newer stamp of the same node.
        if let Ok(()) = node.put(KEY, &number.to_string()).await {
            known.fetch_max(number, Relaxed);
            note(format_args!("{number} is acknowledged"));
        }
    }
}

async fn read(node: &Node, known: &AtomicU64) -> Result<(), NoMajority> {
    let before = known.load(Relaxed);
    let read = node.get(KEY).await?;
    let read = if read.is_empty() { 0 } else { read.parse().expect("only numbers are written") };
    note(format_args!("{} reads {read}", node.name()));
    assert!(read >= before, "an update is lost: {} reads {read}, but {before} was there before", node.name());
    known.fetch_max(read, Relaxed);
    Ok(())
}

async fn pause(most: usize) {
    sleep(Duration::from_millis(choose(most) as u64)).await;
}
