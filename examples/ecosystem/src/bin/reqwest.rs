//! Fetches pages with reqwest, which insists on a tokio runtime: feature `tokio-compat`.
//!
//! Each call is wrapped with `with_tokio`; it runs on our workers, is cut by our scopes, and counts towards our limits. What reqwest spawns on the side runtime,
//! its connections, is nobody's child: the last line says how many of those are alive still.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin axum_service &
//! cargo run -p trioxide-ecosystem --bin reqwest -- http://127.0.0.1:8082/ 'http://127.0.0.1:8082/slow?ms=9999' --limit-ms 1000
//! ```

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use reqwest::Client;
use trioxide::io::tokio_compat::{spawned, with_tokio};
use trioxide::parallel;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Fetches pages with reqwest")]
struct Arguments {
    /// What to fetch
    #[arg(required = true)]
    urls: Vec<String>,
    /// How many pages at once
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// How long each may take
    #[arg(long, default_value_t = 10_000)]
    limit_ms: u64,
}

#[trioxide::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // No pool: what is idle in it would be alive as long as the client.
    let client = match Client::builder().pool_max_idle_per_host(0).build() {
        Ok(client) => client,
        Err(error) => {
            eprintln!("no client: {error}");
            return ExitCode::FAILURE;
        }
    };
    let limit = Duration::from_millis(arguments.limit_ms);
    let pages = parallel::map(arguments.urls, arguments.at_once, move |url| {
        let client = client.clone();
        async move { (fail_after(limit, with_tokio(fetch(client, url.clone()))).await, url) }
    });
    let mut failed = 0;
    for (fetched, url) in pages.await {
        match fetched.map_err(|slow| slow.to_string()).and_then(|page| page) {
            Ok((status, length)) => println!("{url}: {status}, {length} bytes"),
            Err(error) => {
                failed += 1;
                println!("{url}: {error}");
            }
        }
    }
    println!("{failed} failed; on the side runtime: {} tasks", spawned());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn fetch(client: Client, url: String) -> Result<(u16, usize), String> {
    let response = client.get(url).send().await.map_err(explain)?;
    let status = response.status().as_u16();
    Ok((status, response.bytes().await.map_err(explain)?.len()))
}

/// reqwest tells what has happened only as the source of its error.
fn explain(error: reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), |cause| cause.to_string())
}
