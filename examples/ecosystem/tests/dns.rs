//! DNS by hickory in a nursery, with a name server of this file.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::Resolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use trioxide::io::{HickoryProvider, Resolver as Names, TcpListener, TcpStream, UdpSocket, set_resolver};
use trioxide::testing::on_each;
use trioxide::{AnyError, Nursery, join, nursery, race};

const ALL: &[usize] = &[1, 2, 8];

/// What the name server says: to most where the question has come from; that it is too long for UDP; nothing; that there is no such name.
fn answer(query: &[u8], from: SocketAddr, is_udp: bool) -> Option<Vec<u8>> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let label = query[13..][..query[12] as usize].to_ascii_lowercase();
    let (flags, answers) = match &label[..] {
        b"silent" => return None,
        b"long" if is_udp => (0x8380_u16, 0_u16),
        b"nobody" => (0x8183, 0),
        _ => (0x8180, 1),
    };
    let mut said = query[..2].to_vec();
    [flags, 1, answers, 0, 0].iter().for_each(|word| said.extend(word.to_be_bytes()));
    said.extend(&query[12..end]);
    if answers == 1 {
        let IpAddr::V4(from) = from.ip() else { panic!("{from} asks") };
        said.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        said.extend(from.octets());
    }
    Some(said)
}

async fn over_udp(socket: UdpSocket) -> Result<(), AnyError> {
    let mut buf = [0; 1500];
    loop {
        let (count, from) = socket.recv_from(&mut buf).await?;
        if let Some(said) = answer(&buf[..count], from, true) {
            socket.send_to(&said, from).await?;
        }
    }
}

async fn over_tcp(listener: TcpListener) -> Result<(), AnyError> {
    loop {
        let (stream, from) = listener.accept().await?;
        let mut length = [0; 2];
        while stream.read_exact(&mut length).await.is_ok() {
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).await?;
            let said = answer(&query, from, false).expect("nothing silent comes here");
            stream.write_all(&(said.len() as u16).to_be_bytes()).await?;
            stream.write_all(&said).await?;
        }
    }
}

/// A name server and a resolver that asks it.
async fn resolver(n: &Nursery<AnyError>) -> Result<Resolver<HickoryProvider>, AnyError> {
    resolver_at(n, None).await
}

/// The same, that asks from an address of its own.
async fn resolver_at(n: &Nursery<AnyError>, here: Option<SocketAddr>) -> Result<Resolver<HickoryProvider>, AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    n.service(over_udp(UdpSocket::bind(address).await?));
    n.service(over_tcp(listener));
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        (connection.port, connection.bind_addr) = (address.port(), here);
    }
    let servers = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(servers, HickoryProvider::new(n));
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4Only;
    Ok(builder.build()?)
}

#[test]
fn names_are_looked_up_over_udp_and_over_tcp_and_the_nursery_ends() {
    on_each(ALL, async || {
        let outcome = nursery(async |n: Nursery<AnyError>| {
            let resolver = resolver(&n).await?;
            let here: IpAddr = [127, 0, 0, 1].into();
            let (short, long) = join!(resolver.lookup_ip("short.example."), resolver.lookup_ip("long.example."));
            assert_eq!(short?.iter().collect::<Vec<_>>(), [here]);
            assert_eq!(long?.iter().collect::<Vec<_>>(), [here], "it has asked again, over TCP");
            assert!(resolver.lookup_ip("nobody.example.").await.unwrap_err().is_no_records_found());
            Ok(())
        });
        outcome.await.unwrap();
    });
}

/// Every address that begins with 127 is this machine's, on Linux.
#[cfg(target_os = "linux")]
#[test]
fn it_asks_from_the_address_that_it_was_given_over_udp_and_over_tcp() {
    on_each(ALL, async || {
        let outcome = nursery(async |n: Nursery<AnyError>| {
            let here: IpAddr = [127, 0, 0, 2].into();
            let resolver = resolver_at(&n, Some((here, 0).into())).await?;
            let (short, long) = join!(resolver.lookup_ip("short.example."), resolver.lookup_ip("long.example."));
            assert_eq!(short?.iter().chain(long?.iter()).collect::<Vec<_>>(), [here, here]);
            Ok(())
        });
        outcome.await.unwrap();
    });
}

#[test]
fn a_look_up_that_waits_is_cut_and_the_resolver_goes_on() {
    on_each(ALL, async || {
        let outcome = nursery(async |n: Nursery<AnyError>| {
            let resolver = resolver(&n).await?;
            // The answer ends the race, and so the look-up that would wait for seconds.
            let answered = race!(async { resolver.lookup_ip("silent.example.").await.is_ok() }, async {
                resolver.lookup_ip("short.example.").await.is_ok()
            },);
            assert!(answered);
            assert_eq!(resolver.lookup_ip("other.example.").await?.iter().count(), 1);
            Ok(())
            // The nursery does not wait for the lost answer.
        });
        outcome.await.unwrap();
    });
}

#[test]
fn connect_asks_hickory_if_it_is_the_resolver_of_the_run() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outcome = nursery(async |n: Nursery<AnyError>| {
            let resolver = resolver(&n).await?;
            set_resolver(Some(Names::new(move |host: String, port| {
                let resolver = resolver.clone();
                async move {
                    let found = resolver.lookup_ip(host).await.map_err(std::io::Error::other)?;
                    Ok(found.iter().map(|ip| (ip, port).into()).collect())
                }
            })));
            let (connected, accepted) = join!(TcpStream::connect(format!("server.example.:{port}")), listener.accept());
            assert_eq!(connected?.local_addr()?, accepted?.1);
            set_resolver(None);
            Ok(())
        });
        outcome.await.unwrap();
    });
}
