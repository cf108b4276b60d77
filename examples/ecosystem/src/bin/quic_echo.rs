//! A QUIC server that sends each stream back, and a client, by quinn in nurseries (feature `quinn`).
//!
//! The server makes a certificate for itself, and writes it where the client looks for it.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin quic_echo -- serve --addr 127.0.0.1:4433 --certificate /tmp/quic.der
//! cargo run -p trioxide-ecosystem --bin quic_echo -- send --server 127.0.0.1:4433 --trust /tmp/quic.der --streams 100
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig};
use trioxide::io::{QuinnRuntime, fs};
use trioxide::parallel;
use trioxide::prelude::*;

#[derive(Parser)]
#[command(about = "Sends streams of QUIC back")]
struct Arguments {
    #[command(subcommand)]
    side: Side,
}

#[derive(Subcommand)]
enum Side {
    /// The server
    Serve {
        /// The address to listen on; port 0 lets the system choose one
        #[arg(long, default_value = "127.0.0.1:4433")]
        addr: SocketAddr,
        /// Where to write the certificate, in DER
        #[arg(long)]
        certificate: PathBuf,
    },
    /// The client
    Send {
        /// The server's address
        #[arg(long, default_value = "127.0.0.1:4433")]
        server: SocketAddr,
        /// The server's certificate, in DER
        #[arg(long)]
        trust: PathBuf,
        /// How many streams
        #[arg(long, default_value_t = 100)]
        streams: usize,
        /// How many bytes on each
        #[arg(long, default_value_t = 10_000)]
        bytes: usize,
    },
}

/// The longest stream.
const LONGEST: usize = 1 << 20;
const NAME: &str = "echo.example";

#[trioxide::main]
async fn main() -> ExitCode {
    let outcome = nursery(async |n| match Arguments::parse().side {
        Side::Serve { addr, certificate } => serve(&n, addr, certificate).await,
        Side::Send { server, trust, streams, bytes } => send(&n, server, trust, streams, bytes).await,
    });
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(n: &Nursery<AnyError>, addr: SocketAddr, certificate: PathBuf) -> Result<(), AnyError> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    fs::write(certificate, made.cert.der()).await?;
    let config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?;
    let endpoint = endpoint(n, addr, Some(config))?;
    println!("listening on {}", endpoint.local_addr()?);
    // Each connection is a child, and each of its streams another; an error of one is no other's.
    nursery(async |connections: Nursery<AnyError>| {
        while let Some(Some(incoming)) = until_stopping(endpoint.accept()).await {
            connections.task("connection").spawn(async move {
                let peer = incoming.remote_address();
                if let Err(error) = connection(incoming).await {
                    eprintln!("connection from {peer}: {error}");
                }
            });
        }
        endpoint.set_server_config(None); // nobody new
        Ok(())
    })
    .await?;
    endpoint.close(0_u32.into(), b"the server has stopped");
    endpoint.wait_idle().await; // or else nobody would be told
    Ok(())
}

/// Until the client closes it or, after a stop, until its streams have ended.
async fn connection(incoming: quinn::Incoming) -> Result<(), AnyError> {
    let connection = incoming.await?;
    nursery(async |streams: Nursery<AnyError>| {
        while let Some(Ok((mut back, mut stream))) = until_stopping(connection.accept_bi()).await {
            streams.task("stream").spawn(async move {
                let all = stream.read_to_end(LONGEST).await?;
                back.write_all(&all).await?;
                back.finish()?;
                back.stopped().await?; // all of it has arrived
                Ok::<_, AnyError>(())
            });
        }
        Ok(())
    })
    .await?;
    Ok(())
}

async fn send(
    n: &Nursery<AnyError>,
    server: SocketAddr,
    trust: PathBuf,
    streams: usize,
    bytes: usize,
) -> Result<(), AnyError> {
    let mut roots = RootCertStore::empty();
    roots.add(fs::read(trust).await?.into())?;
    let mut endpoint = endpoint(n, "0.0.0.0:0".parse()?, None)?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connection = fail_after(Duration::from_secs(10), endpoint.connect(server, NAME)?).await??;
    let shared = connection.clone();
    let echoed = parallel::try_map(0..streams, 16, move |number| echoed(shared.clone(), number as u8, bytes));
    let same = echoed.await?.into_iter().filter(|same| *same).count();
    println!("{same} of {streams} streams came back as they were");
    connection.close(0_u32.into(), b"enough");
    endpoint.wait_idle().await;
    Ok(())
}

async fn echoed(connection: Connection, with: u8, bytes: usize) -> Result<bool, AnyError> {
    let (mut stream, mut back) = connection.open_bi().await?;
    let sent = vec![with; bytes];
    stream.write_all(&sent).await?;
    stream.finish()?;
    Ok(back.read_to_end(LONGEST).await? == sent)
}

fn endpoint(n: &Nursery<AnyError>, addr: SocketAddr, config: Option<ServerConfig>) -> io::Result<Endpoint> {
    let runtime = Arc::new(QuinnRuntime::new(n.clone()));
    Endpoint::new(EndpointConfig::default(), config, UdpSocket::bind(addr)?, runtime)
}
