//! A WebSocket server that sends back what it gets, by async-tungstenite over our sockets, which have the traits of futures-io.
//!
//! A client has five seconds for its handshake; a message may have a megabyte; and at a stop each client is told with a close frame (1001, "going away").
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin websocket_echo -- --addr 127.0.0.1:9001
//! ```

use std::process::ExitCode;

use async_tungstenite::accept_async_with_config;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use clap::Parser;
use futures_util::StreamExt;
use trioxide::io::Server;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Sends WebSocket messages back")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: String,
    /// The longest message, in bytes
    #[arg(long, default_value_t = 1 << 20)]
    longest: usize,
}

/// For a handshake, and for the answer to a close frame.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let listener = TcpListener::bind(&arguments.addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let config = WebSocketConfig::default().max_message_size(Some(arguments.longest));
    Server::new(move |stream, _peer| echo(stream, config)).limit(10_000).run([listener]).await
}

async fn echo(stream: TcpStream, config: WebSocketConfig) -> Result<(), AnyError> {
    let mut socket = fail_after(PATIENCE, accept_async_with_config(stream, Some(config))).await??;
    // Between two messages a stop may cut: what has been read of the next one is kept in the socket.
    while let Some(next) = until_stopping(socket.next()).await {
        match next {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.send(message).await?,
            Some(Ok(_)) => {} // pings and close frames have been answered
            Some(Err(Error::Capacity(error))) => {
                let reason = error.to_string().into();
                socket.close(Some(CloseFrame { code: CloseCode::Size, reason })).await?;
                fail_after(PATIENCE, drained(socket.into_inner())).await??;
                return Err(error.into());
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(()),
        }
    }
    fail_after(PATIENCE, async {
        socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "the server is stopping".into() })).await?;
        // Until the client has answered; what it has sent before is not echoed any more.
        while socket.next().await.transpose()?.is_some() {}
        Ok(())
    })
    .await?
}

/// Reads what is still under way: a socket that is closed before would reset the connection, and the client might not see our last word.
async fn drained(stream: TcpStream) -> io::Result<()> {
    stream.finish()?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
