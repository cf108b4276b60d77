//! Transfers between accounts in PostgreSQL, by tokio-postgres over our sockets, with a small pool of connections.
//!
//! tokio-postgres needs tokio's traits only: each connection is driven by a task of the nursery, and ends with it. A connection goes back
//! into the pool only if its transaction has ended; one that was cut in the midst of it is closed, and PostgreSQL rolls back.
//!
//! ```text
//! cargo run -p trioxide-ecosystem --bin postgres -- --server 127.0.0.1:5432 --user postgres
//! ```

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use tokio_postgres::{Client, Config, NoTls};
use trioxide::parallel;
use trioxide::prelude::*;
use trioxide::sync::channel::{Receiver, Sender, bounded};

#[derive(Clone, Parser)]
#[command(about = "Transfers between accounts in PostgreSQL")]
struct Arguments {
    /// HOST:PORT
    #[arg(long, default_value = "127.0.0.1:5432")]
    server: String,
    /// The user, who needs no password
    #[arg(long, default_value = "postgres")]
    user: String,
    /// The database
    #[arg(long, default_value = "postgres")]
    database: String,
    /// How many connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How many transfers
    #[arg(long, default_value_t = 200)]
    transfers: usize,
}

type Anything = Box<dyn Error + Send + Sync>;

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
        let pool = Pool::open(&n, &arguments).await?;
        let client = pool.take().await?;
        let setup = "CREATE TEMPORARY TABLE nothing (); DROP TABLE IF EXISTS accounts; \
                     CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL CHECK (amount >= 0)); \
                     INSERT INTO accounts SELECT id, 100 FROM generate_series(0, 9) id";
        client.batch_execute(setup).await?;
        pool.give(client).await;

        let shared = pool.clone();
        let done = parallel::map(0..arguments.transfers, 2 * arguments.connections, move |number| {
            let pool = shared.clone();
            async move { pool.transfer(number as i32 % 10, (number as i32 * 7 + 3) % 10).await.is_ok() }
        });
        let done = done.await.into_iter().filter(|done| *done).count();

        let client = pool.take().await?;
        let row = client.query_one("SELECT count(*), sum(amount) FROM accounts", &[]).await?;
        let (accounts, sum): (i64, i64) = (row.get(0), row.get(1));
        client.batch_execute("DROP TABLE accounts").await?;
        println!("{done} of {} transfers; {accounts} accounts hold {sum}", arguments.transfers);
        Ok(())
        // The pool goes, and with the clients the connections end.
    })
    .await
}

/// Connections that are free, in a channel.
#[derive(Clone)]
struct Pool {
    free: Receiver<Client>,
    back: Sender<Client>,
}

impl Pool {
    async fn open(n: &Nursery<AnyError>, arguments: &Arguments) -> Result<Pool, AnyError> {
        let (back, free) = bounded(arguments.connections);
        let mut config = Config::new();
        config.user(&arguments.user).dbname(&arguments.database);
        for _ in 0..arguments.connections {
            let stream = fail_after(Duration::from_secs(10), TcpStream::connect(&arguments.server)).await??;
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(explain)?;
            n.task("connection").spawn(async move { connection.await.map_err(AnyError::from) });
            back.send(client).await.map_err(|_| io::Error::other("the pool is gone"))?;
        }
        Ok(Pool { free, back })
    }

    async fn take(&self) -> io::Result<Client> {
        self.free.recv().await.map_err(|_| io::Error::other("the pool is gone"))
    }

    async fn give(&self, client: Client) {
        let _ = self.back.send(client).await;
    }

    /// Both accounts or none. What is cut drops the client, and so its connection: it is not given back in the midst of a transaction.
    async fn transfer(&self, from: i32, to: i32) -> Result<(), Anything> {
        let mut client = self.take().await?;
        let moved = async {
            let transaction = client.transaction().await?;
            let (low, high) = (from.min(to), from.max(to)); // always in this order, so that two never wait for each other
            transaction
                .query("SELECT FROM accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE", &[&low, &high])
                .await?;
            transaction.execute("UPDATE accounts SET amount = amount - 1 WHERE id = $1", &[&from]).await?;
            transaction.execute("UPDATE accounts SET amount = amount + 1 WHERE id = $1", &[&to]).await?;
            transaction.commit().await
        };
        let moved = moved.await;
        self.give(client).await;
        Ok(moved?)
    }
}

/// tokio-postgres tells what the server has said only as the source of its error.
fn explain(error: tokio_postgres::Error) -> io::Error {
    match error.source() {
        Some(source) => io::Error::other(format!("{error}: {source}")),
        None => io::Error::other(error),
    }
}
