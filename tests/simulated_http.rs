//! hyper, client and server, over the simulated network: nothing in what it runs on knows of that. All in virtual time.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use trioxide::io::hyper_rt::Timer;
use trioxide::io::{TcpListener, TcpStream, connect, serve};
use trioxide::{nursery, sleep};
use trioxide_testing::network::{Link, Network, Statistics};
use trioxide_testing::simulate;

async fn reverse(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body().collect().await?.to_bytes().to_vec();
    body.reverse();
    Ok(Response::new(Full::new(body.into())))
}

/// A server as one would write it.
async fn server() {
    let listener = TcpListener::bind("0.0.0.0:80").await.expect("the port is free");
    let handle = async |stream: TcpStream, _| {
        let mut http = hyper::server::conn::http1::Builder::new();
        // A connection that the network has broken is the client's to ask again on.
        let _ended = http.timer(Timer).serve_connection(stream, service_fn(reverse)).await;
        Ok::<_, Infallible>(())
    };
    serve(listener, handle).await.expect("it is cancelled, and does not end");
}

/// A client that asks until it is answered. Gives how often it had to.
async fn ask(body: Vec<u8>) -> u32 {
    for attempt in 1.. {
        match try_to_ask(body.clone()).await {
            Ok(answer) => {
                assert!(answer.iter().rev().eq(&body), "the answer is to this question, and whole");
                return attempt;
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    unreachable!("it asks for ever")
}

async fn try_to_ask(body: Vec<u8>) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = connect("server", 80).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let mut answer = None;
    nursery(async |n| {
        n.service(async {
            // What goes wrong with it the request says, too.
            let _ended = connection.await;
        });
        let request = Request::post("/").body(Full::new(Bytes::from(body))).expect("a request");
        answer = Some(match sender.send_request(request).await {
            Ok(response) => response.into_body().collect().await.map(|body| body.to_bytes()),
            Err(error) => Err(error),
        });
    })
    .await;
    Ok(answer.expect("the body of the nursery has ended")?)
}

fn run(seed: u64, link: Link) -> (u32, Statistics) {
    simulate(seed, async || {
        let network = Network::new(seed);
        network.set_default_link(link);
        let mut attempts = 0;
        let world = nursery(async |n| {
            let (host, client) = (network.host("server"), network.host("client"));
            n.service(async move { drop(host.run(server()).await) });
            for length in [0, 1, 1000, 200_000] {
                attempts += client.run(ask((0..length).map(|number| number as u8).collect())).await.expect("no crash");
            }
        });
        network.run(world).await;
        (attempts, network.statistics())
    })
}

#[test]
fn hyper_answers_over_a_good_network() {
    let (attempts, statistics) = run(1, Link::new());
    // The server may not listen yet when the first client asks.
    assert!(attempts <= 5, "{attempts}");
    assert!(statistics.bytes > 400_000 && statistics.connections >= 4, "{statistics:?}");
}

#[test]
fn hyper_answers_over_a_bad_network() {
    let bad = || Link::new().jitter(Duration::from_millis(20)).loss(0.1).resets(0.01).buffer(10_000);
    let mut resets = 0;
    for seed in 0..10 {
        let (attempts, statistics) = run(seed, bad());
        assert!(attempts >= 4);
        resets += statistics.resets;
        assert_eq!(run(seed, bad()), (attempts, statistics), "the seed decides about everything");
    }
    assert!(resets > 0, "it was bad enough to matter");
}
