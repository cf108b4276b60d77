//! A chat for lines of text: everybody gets what everybody says.
//!
//! Each client has a task, in which two loops run at once: from the client to all, and from all to the client. The loops end together:
//! `race!` cancels the one that is left. Who reads too slowly does not hold up the others: the oldest lines are dropped, and he is told so.
//!
//! ```text
//! cargo run --example chat -- --addr 127.0.0.1:7778
//! nc 127.0.0.1 7778
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use trioxide::io::{BufReader, Server};
use trioxide::prelude::*;
use trioxide::sync::channel::broadcast::{Receiver, RecvError, Sender};

/// How many lines a client may be behind.
const BEHIND: usize = 256;
/// The longest line.
const LINE: usize = 4096;

#[derive(Parser)]
#[command(about = "A chat for lines of text")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:7778")]
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

async fn serve(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let (all, _) = channel::broadcast(BEHIND);
    Server::new(move |client, peer| meet(client, peer, all.clone())).run([listener]).await
}

async fn meet(client: TcpStream, peer: SocketAddr, all: Sender<String>) -> io::Result<()> {
    let heard = all.subscribe();
    let _ = all.send(format!("* {peer} is here"));
    let outcome = race!(listen(&client, peer, &all), tell(&client, heard), leave());
    let _ = all.send(format!("* {peer} has left"));
    outcome
}

/// Until the client ends.
async fn listen(client: &TcpStream, peer: SocketAddr, all: &Sender<String>) -> io::Result<()> {
    let mut lines = BufReader::new(client);
    while let Some(line) = lines.read_line(LINE).await? {
        let _ = all.send(format!("{peer}: {line}")); // an error is that nobody is there: we are
    }
    Ok(())
}

async fn tell(client: &TcpStream, mut heard: Receiver<String>) -> io::Result<()> {
    loop {
        let line = match heard.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(missed)) => format!("* you are slow: {missed} lines are lost"),
            Err(RecvError::Closed) => return Ok(()),
        };
        client.write_all(format!("{line}\n").as_bytes()).await?;
    }
}

/// A server that stops does not wait until everybody has gone home.
async fn leave() -> io::Result<()> {
    stopping().await;
    Ok(())
}
