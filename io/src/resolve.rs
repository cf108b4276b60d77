//! Names to addresses: the system's resolver on the thread pool, or one of your own for a whole run.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;

use trioxide_runtime::RunVar;

use crate::addr::explain;
use crate::network;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Looks up names: see [`set_resolver`].
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> Found + Send + Sync>);

impl Resolver {
    /// A resolver that calls `look_up` with the host and the port. Numeric addresses do not come here.
    pub fn new<F, Fut>(look_up: F) -> Resolver
    where
        F: Fn(String, u16) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Resolver(Arc::new(move |host, port| Box::pin(look_up(host, port))))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

static RESOLVER: RunVar<Option<Resolver>> = RunVar::with_default("RESOLVER", || None);

/// From now on names are looked up by `resolver` in this run; `None`: by the system's, as from the start. Gives what
/// was there before. After Trio's `set_custom_hostname_resolver`.
///
/// ```
/// use trioxide_io::{Resolver, set_resolver};
/// # trioxide_runtime::run(async {
/// set_resolver(Some(Resolver::new(async |host: String, port| match &*host {
///     "database" => Ok(vec![([127, 0, 0, 1], port).into()]),
///     _ => Err(std::io::ErrorKind::NotFound.into()),
/// })));
/// # });
/// ```
///
/// # Panics
/// Outside a run.
pub fn set_resolver(resolver: Option<Resolver>) -> Option<Resolver> {
    let before = RESOLVER.get();
    drop(RESOLVER.set(resolver));
    before
}

/// The addresses of a host; never an empty list.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let found = match (network::current(), RESOLVER.get()) {
        (Some(network), _) => network.resolve(host, port).await,
        (None, Some(Resolver(look_up))) => look_up(host.to_owned(), port).await,
        (None, None) => {
            let host = host.to_owned();
            let look_up = move || Ok((&*host, port).to_socket_addrs()?.collect::<Vec<_>>());
            trioxide_runtime::blocking(look_up).await
        }
    };
    let found = found.and_then(|found| match found.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(found),
    });
    found.map_err(|error| explain("resolve", format_args!("`{host}:{port}`"), error))
}
