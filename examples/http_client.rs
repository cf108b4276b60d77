//! An HTTP client: fetches a page by hyper 1, and writes it to standard output while it comes.
//!
//! The connection is a service of a nursery: it runs beside the request and ends with it, however that ends. The time limit is a scope round the request, from the
//! look-up of the name to the last byte, and inside that nursery: it cuts who waits, and not the connection, or the request would be told that this has gone.
//!
//! ```text
//! cargo run --example http_server -- --addr 127.0.0.1:8080 &
//! cargo run --example http_client -- http://127.0.0.1:8080/
//! ```

use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use trioxide::io::{connect, stdout};
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Fetches a page")]
struct Arguments {
    /// http://HOST:PORT/PATH
    url: Uri,
    /// How long all of it may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 30_000)]
    limit_ms: u64,
}

#[trioxide::main]
async fn main() -> ExitCode {
    let Arguments { url, limit_ms } = Arguments::parse();
    let limit = Duration::from_millis(limit_ms);
    let fetched = nursery(async |n: Nursery<AnyError>| fail_after(limit, fetch(&url, &n)).await?).await;
    match fetched {
        Ok(count) => {
            eprintln!("{count} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{url}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the page to standard output, and gives its length.
async fn fetch(url: &Uri, n: &Nursery<AnyError>) -> Result<u64, AnyError> {
    let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(io::Error::other("is not of the form http://HOST:PORT/PATH").into());
    };
    let stream = connect(authority.host(), url.port_u16().unwrap_or(80)).await?;
    let (mut sender, connection) = http1::handshake(stream).await?;
    let request = Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    n.service(async { connection.await.map_err(AnyError::from) });
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(io::Error::other(response.status().to_string()).into());
    }
    let (mut body, mut out, mut count) = (response.into_body(), stdout()?, 0);
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            out.write_all(&piece).await?;
            count += piece.len() as u64;
        }
    }
    Ok(count)
}
