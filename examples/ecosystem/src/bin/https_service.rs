//! HTTP/1.1 and HTTP/2 over TLS: axum and hyper on our TLS streams, which have hyper's traits. The client chooses the version, by ALPN.
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
//! cargo run -p trioxide-ecosystem --bin https_service -- --addr 127.0.0.1:8443 --cert cert.pem --key key.pem
//! curl --cacert cert.pem https://localhost:8443/version
//! ```

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::routing::{get, post};
use clap::Parser;
use futures_util::future::{Either, select};
use hyper::server::conn::{http1, http2};
use hyper_util::service::TowerToHyperService;
use trioxide::io::hyper_rt::{NurseryExecutor, Timer};
use trioxide::io::tls::{Acceptor, TlsListener, TlsStream, certificates, private_key};
use trioxide::io::{Server, fs};
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "HTTP/1.1 and HTTP/2 over TLS")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8443")]
    addr: String,
    /// The certificate, and those up to its root, in PEM
    #[arg(long)]
    cert: PathBuf,
    /// Its private key, in PEM
    #[arg(long)]
    key: PathBuf,
}

#[trioxide::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let routes = Router::new()
        .route("/version", get(async |request: Request| format!("{:?}\n", request.version())))
        .route("/echo", post(async |body: Bytes| body))
        .route("/slow", get(slow))
        .layer(DefaultBodyLimit::max(16 << 20));
    let (chain, key) = (fs::read(arguments.cert).await?, fs::read(arguments.key).await?);
    let acceptor = Acceptor::new(certificates(&chain)?, private_key(&key)?)?.alpn(["h2", "http/1.1"]);
    let listener = TcpListener::bind(&arguments.addr).await?;
    println!("listening on {}", listener.local_addr()?);
    Server::new(move |stream, _peer| connection(stream, routes.clone()))
        .run([TlsListener::new(listener, acceptor)])
        .await
}

/// One connection, in the version that was agreed on in the handshake. When the server stops it ends with the requests that it is in.
async fn connection(stream: TlsStream<TcpStream>, routes: Router) -> Result<(), AnyError> {
    fail_after(Duration::from_secs(10), stream.handshake()).await??; // a slow client keeps nobody else waiting
    let is_http2 = stream.alpn()?.is_some_and(|chosen| chosen == b"h2");
    let stream = stream.allow_truncation(); // HTTP says by itself where it ends
    let service = TowerToHyperService::new(routes);
    macro_rules! serve {
        ($http:expr) => {{
            let mut served = pin!($http.timer(Timer).serve_connection(stream, service));
            match select(served.as_mut(), pin!(stopping())).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }};
    }
    let outcome = nursery(async |n: Nursery<hyper::Error>| match is_http2 {
        true => serve!(http2::Builder::new(NurseryExecutor::new(n))), // a task for each request
        false => serve!(http1::Builder::new()),
    });
    Ok(outcome.await.map_err(|error| io::Error::other(error.to_string()))?)
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(1)).await;
    "after a second\n"
}
