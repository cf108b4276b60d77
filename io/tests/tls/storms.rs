//! TLS over transports whose calls are interrupted, put off and done in part.

use futures_util::future::join;
use trioxide_io::{TcpListener, UnixStream, connect};
use trioxide_testing::network::{Link, Network, Storm};
use trioxide_testing::stream::Choppy;
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::over;
use crate::streams::{bytes, read_all, write_all};

/// Everything there and back, from before the handshake until after the goodbye.
async fn there_and_back<S>(client: S, server: S, count: usize)
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
{
    let (client, server) = over(client, server);
    let (there, back) = (bytes(count, 3), bytes(count, 5));
    let writes = join(write_all(&client, &there), write_all(&server, &back));
    let reads = join(read_all(&server), read_all(&client));
    let (_, (got_there, got_back)) = join(writes, reads).await;
    assert!(got_there == there && got_back == back, "other bytes came");
}

#[test]
fn storms_do_not_show_above_tls() {
    for seed in 0..10 {
        on_each_with_clock(&[1], async |_| {
            let network = Network::new(seed);
            for host in ["client", "server"] {
                network.host(host).set_storm(Storm { interrupted: 0.4, would_block: 0.4, partial: 0.8 });
            }
            network.set_default_link(Link::new().buffer(3000));
            network
                .run(async {
                    let listener = network.host("server").run(TcpListener::bind("0.0.0.0:0")).await.unwrap().unwrap();
                    let port = listener.local_addr().unwrap().port();
                    let host = network.host("client");
                    let asked = host.run(connect("server", port));
                    let (client, accepted) = join(asked, listener.accept()).await;
                    there_and_back(client.unwrap().unwrap(), accepted.unwrap().0, 40_000).await;
                })
                .await;
            let seen = network.statistics();
            assert!(seen.interrupted > 0 && seen.blocked > 0 && seen.partial > 0, "{seen:?}");
        });
    }
}

/// Records and messages of the handshake come in pieces that end anywhere.
#[test]
fn pieces_that_end_anywhere_do_not_show_above_tls() {
    on_each(&[1], async || {
        let ends = || UnixStream::pair().unwrap();
        for place in (0..2_500).step_by(13) {
            let (one, other) = ends();
            let places = [place, place + 1, place + 5];
            there_and_back(Choppy::cut_at(one, places), Choppy::cut_at(other, places), 300).await;
        }
        for size in [1, 2, 3, 4, 5, 6, 7, 16, 17, 255, 1_000] {
            let (one, other) = ends();
            there_and_back(Choppy::pieces(one, size), Choppy::pieces(other, size), 2_000).await;
        }
        for seed in 0..20 {
            let (one, other) = ends();
            there_and_back(Choppy::by_chance(one, seed), Choppy::by_chance(other, !seed), 5_000).await;
        }
    });
}
