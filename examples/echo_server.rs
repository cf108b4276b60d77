//! A server that sends back what it gets.
//!
//! One child of the nursery for each connection. At SIGINT (control-C) or SIGTERM the run is asked to stop, which is what `run` does by itself:
//! the accept loop ends at once; connections stop when they have echoed what they have read, and those that have not after eight seconds, or at a
//! second signal, are cut.
//!
//! ```text
//! cargo run --example echo_server -- --addr 127.0.0.1:7777
//! nc 127.0.0.1 7777
//! ```

use std::process::ExitCode;

use clap::Parser;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Sends back what it gets")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:7777")]
    addr: String,
}

#[trioxide::main]
async fn main() -> ExitCode {
    match serve(&Arguments::parse().addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(addr: &str) -> Result<(), NurseryError<io::Error>> {
    let listener = TcpListener::bind(addr).await?;
    let address = listener.local_addr()?;

    nursery(async |n| {
        println!("listening on {address}");

        // `until_stopping` gives `None` once a signal has come.
        while let Some(accepted) = until_stopping(listener.accept()).await {
            let (stream, peer) = accepted?;
            n.spawn(async move {
                // An error is that of one connection. Returned from here it would end the whole server.
                if let Err(error) = echo(stream).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
        println!("stopping");
        Ok(())
    })
    .await // until the last connection has ended
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    // Only the read is cut when the server stops: what has been read is echoed.
    while let Some(read) = until_stopping(stream.read(&mut buffer)).await {
        match read? {
            0 => break, // the peer sends no more
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
    Ok(())
}
