//! A TLS server that sends back what it gets, and a client that sends its standard input.
//!
//! The handshake is done in the task of the connection, and has ten seconds; so a peer that is slow, or says nothing, holds up nobody
//! else. Both sides say goodbye before they close: without it the other takes what it has got for cut off.
//!
//! ```text
//! openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
//! cargo run --example tls_echo --features tls -- serve --cert cert.pem --key key.pem --addr 127.0.0.1:4433
//! echo hello | cargo run --example tls_echo --features tls -- connect localhost:4433 --trust cert.pem
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trioxide::io::tls::{Acceptor, Connector, TlsListener, TlsStream, certificates, private_key};
use trioxide::io::{copy, fs, serve};
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Echoes over TLS")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Sends back what it gets
    Serve {
        /// The address to listen on; port 0 lets the system choose one
        #[arg(long, default_value = "127.0.0.1:4433")]
        addr: String,
        /// The certificate, with its chain, as PEM
        #[arg(long)]
        cert: PathBuf,
        /// Its private key, as PEM
        #[arg(long)]
        key: PathBuf,
    },
    /// Sends a text, and prints the answer
    Connect {
        /// HOST:PORT
        server: String,
        /// Whom to trust, as PEM; else those whom the system trusts
        #[arg(long)]
        trust: Option<PathBuf>,
        /// What to send, as one line
        #[arg(long, default_value = "hello")]
        text: String,
    },
}

#[trioxide::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Serve { addr, cert, key } => listen(&addr, &cert, &key).await,
        What::Connect { server, trust, text } => ask(&server, trust.as_deref(), &text).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn listen(addr: &str, cert: &Path, key: &Path) -> io::Result<()> {
    let acceptor = Acceptor::new(certificates(&fs::read(cert).await?)?, private_key(&fs::read(key).await?)?)?;
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    serve(TlsListener::new(listener, acceptor), |stream, _peer| echo(stream)).await
}

async fn echo(stream: TlsStream<TcpStream>) -> io::Result<()> {
    fail_after(Duration::from_secs(10), stream.handshake()).await??;
    // Ends when the peer says goodbye, or the server is stopped.
    if let Some(copied) = until_stopping(copy(&stream, &stream)).await {
        copied?;
    }
    stream.close().await
}

async fn ask(server: &str, trust: Option<&Path>, text: &str) -> io::Result<()> {
    let connector = match trust {
        Some(path) => Connector::with_roots(certificates(&fs::read(path).await?)?)?,
        None => blocking(Connector::new).await?,
    };
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let stream = connector.wrap(host, TcpStream::connect(server).await?)?;
    stream.write_all(format!("{text}\n").as_bytes()).await?;
    let mut lines = trioxide::io::BufReader::new(&stream);
    match lines.read_line(64 * 1024).await? {
        Some(line) => println!("{line}"),
        None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has said nothing")),
    }
    stream.close().await
}
