//! A TCP proxy: what comes in goes to another server, and back.
//!
//! Both directions of a connection are one `copy_bidirectional` in one task; when one side ends, the other is told so, and may go on. An
//! upstream that cannot be reached costs only the connection that wanted it.
//!
//! When it is stopped, what is open may end by itself for a while, and is closed then: only the two ends know whether a connection is idle.
//!
//! ```text
//! cargo run --example tcp_proxy -- --addr 127.0.0.1:8081 --upstream 127.0.0.1:8080
//! curl http://127.0.0.1:8081/
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use trioxide::io::{Server, connect, copy_bidirectional};
use trioxide::move_on_when;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Forwards TCP connections to another server")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: String,
    /// HOST:PORT of the server behind
    #[arg(long)]
    upstream: String,
    /// So many connections at once; more wait
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    /// How long connections that are open may go on after a signal
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5_000)]
    grace_ms: u64,
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
    let (host, port) = arguments
        .upstream
        .rsplit_once(':')
        .and_then(|(host, port)| Some((Arc::<str>::from(host), port.parse().ok()?)))
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "--upstream is HOST:PORT, such as 127.0.0.1:8080")
        })?;
    let listener = TcpListener::bind(&arguments.addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let grace = Duration::from_millis(arguments.grace_ms);
    let handler = move |client, _peer| forward(client, host.clone(), port, grace);
    Server::new(handler).limit(arguments.limit).run([listener]).await
}

async fn forward(client: TcpStream, host: Arc<str>, port: u16, grace: Duration) -> io::Result<()> {
    // All addresses of the host, the quickest wins; so long at most.
    let upstream = fail_after(Duration::from_secs(10), connect(&host, port)).await??;
    let over = async {
        stopping().await;
        sleep(grace).await;
    };
    move_on_when(over, copy_bidirectional(client, upstream)).await.transpose()?;
    Ok(())
}
