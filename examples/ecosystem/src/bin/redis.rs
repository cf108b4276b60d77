//! Counts in Redis, by the crate `redis` over our sockets: many tasks share one connection, whose commands travel together.
//!
//! The crate wants tokio's traits of our stream, and no tokio runtime, as long as its own time-outs are off: a scope does that better. What a scope cuts has
//! been sent all the same, and its answer is thrown away when it comes. A command that holds up the whole connection (`WAIT`, `BLPOP`) gets a connection of its own,
//! which ends with it.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin redis -- --server 127.0.0.1:6379
//! ```

use std::process::ExitCode;

use clap::Parser;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo};
use trioxide::parallel;
use trioxide::prelude::*;

#[derive(Clone, Parser)]
#[command(about = "Counts in Redis")]
struct Arguments {
    /// HOST:PORT
    #[arg(long, default_value = "127.0.0.1:6379")]
    server: String,
    /// How many commands at once
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// How many commands
    #[arg(long, default_value_t = 10_000)]
    commands: usize,
}

const KEY: &str = "trioxide:example:counter";

#[trioxide::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), NurseryError<AnyError>> {
    nursery(async |n: Nursery<AnyError>| {
        let mut connection = connect(&n, &arguments.server).await?;
        let () = connection.del(KEY).await?;
        let shared = connection.clone();
        let counted = parallel::try_map(0..arguments.commands, arguments.at_once, move |_| {
            let mut connection = shared.clone();
            async move { connection.incr::<_, _, u64>(KEY, 1).await }
        });
        let mut counted = counted.await?;
        counted.sort_unstable();
        let each_once = counted.iter().copied().eq(1..=arguments.commands as u64);
        println!("counted to {}, each number once: {each_once}", connection.get::<_, u64>(KEY).await?);

        let late = replicated(&arguments.server, Duration::from_millis(100)).await;
        println!("waited for replicas: {}", late.map_or_else(|error| error.to_string(), |count| count.to_string()));
        // The other connection is as good as before.
        let answer: String = redis::cmd("PING").query_async(&mut connection).await?;
        println!("the first connection: {answer}");
        Ok(connection.del(KEY).await?)
        // The last handle goes, and the connection ends.
    })
    .await
}

/// A connection whose driver is a task of `n`. It ends when the last handle has gone.
async fn connect(n: &Nursery<AnyError>, server: &str) -> Result<MultiplexedConnection, AnyError> {
    let stream = fail_after(Duration::from_secs(10), TcpStream::connect(server)).await??;
    stream.set_nodelay(true)?;
    let no_limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let info = RedisConnectionInfo::default(); // no password, database 0
    let made = MultiplexedConnection::new_with_config(&info, stream, no_limits);
    let (connection, driver) = fail_after(Duration::from_secs(10), made).await??;
    n.task("redis").spawn(driver);
    Ok(connection)
}

/// Asks for one more replica than there is, for ten minutes; but not for longer than `limit`.
async fn replicated(server: &str, limit: Duration) -> Result<u32, AnyError> {
    let asked = nursery(async |n: Nursery<AnyError>| {
        let mut connection = connect(&n, server).await?;
        // The limit is round the command only. Round the nursery it would cut the driver, too, and the command might see that first, as a broken pipe.
        let count = fail_after(limit, redis::cmd("WAIT").arg(1).arg(600_000).query_async(&mut connection)).await?;
        Ok(count?)
    });
    match asked.await {
        Err(NurseryError::Failed(errors)) => Err(errors.into_first()),
        answered => answered.map_err(|error| io::Error::other(error.to_string()).into()),
    }
}
