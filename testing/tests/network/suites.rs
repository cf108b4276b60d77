//! The suites of streams, on simulated connections, also over bad links.

use std::io::ErrorKind;

use trioxide_io::TcpStream;
use trioxide_testing::network::{Link, Network};
use trioxide_testing::stream::{
    check_clogged_half_closeable_stream, check_half_closeable_stream, check_one_way_stream,
};

use crate::common::{milliseconds, on_networks, pair};

async fn clogged(network: &Network) -> (TcpStream, TcpStream) {
    let (one, other) = pair(network).await;
    loop {
        match one.try_write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (one, other),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn c191_simulated_connections_pass_the_suite_of_one_way_streams() {
    on_networks(async |network| {
        network.set_default_link(Link::new().latency(milliseconds(30)).jitter(milliseconds(20)).loss(0.1));
        check_one_way_stream(async || pair(&network).await).await;
    });
}

#[test]
fn c198_simulated_connections_without_room_pass_the_suite_of_clogged_streams() {
    on_networks(async |network| check_clogged_half_closeable_stream(async || clogged(&network).await).await);
}

#[test]
fn c200_simulated_connections_pass_the_suite_of_half_closeable_streams() {
    on_networks(async |network| check_half_closeable_stream(async || pair(&network).await).await);
    on_networks(async |network| {
        network.set_default_link(Link::new().jitter(milliseconds(5)).loss(0.05).buffer(3000).bandwidth(10_000_000));
        check_half_closeable_stream(async || pair(&network).await).await;
    });
}
