//! Does one thing many times, so that strace can count what it costs. The table in the reactor's documentation
//! was made with it:
//!
//! ```sh
//! cargo build --release -p trioxide-io --example count_syscalls
//! strace -c target/release/examples/count_syscalls echo 1000
//! strace -c target/release/examples/count_syscalls echo 2000
//! ```
//!
//! The difference of the two counts, divided by 1000, is the cost of one. Without `-f` strace follows only the
//! first thread, which is the runtime's only worker here; the other side is a thread of its own.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{self, SocketAddr};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use trioxide_io::{TcpListener, TcpStream};
use trioxide_runtime::{Runtime, sleep};

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(what), Some(Ok(times))) = (args.next(), args.next().map(|times| times.parse())) else {
        eprintln!("usage: count_syscalls wake|sleep|echo|accept|connect TIMES");
        std::process::exit(2);
    };
    Runtime::builder().workers(1).build()?.run(async {
        // Also for `wake` and `sleep`: without a socket there is no reactor.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        match &*what {
            "wake" => wakes(times).await,
            "sleep" => {
                for _ in 0..times {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            "echo" => {
                let client = thread::spawn(move || echo_client(address, times));
                echo(listener.accept().await?.0).await?;
                client.join().expect("the client does not panic")?;
            }
            "accept" => {
                let client = thread::spawn(move || accept_client(address, times));
                for _ in 0..times {
                    drop(listener.accept().await?);
                }
                client.join().expect("the client does not panic")?;
            }
            "connect" => {
                for _ in 0..times {
                    let client = TcpStream::connect(address).await?;
                    drop((client, listener.accept().await?));
                }
            }
            other => eprintln!("count_syscalls: there is no `{other}`"),
        }
        Ok(())
    })
}

/// Another thread wakes this task, each time after the worker has gone to sleep.
async fn wakes(times: usize) {
    let (sender, receiver) = mpsc::channel::<(Waker, mpsc::Sender<()>)>();
    thread::spawn(move || {
        for (waker, done) in receiver {
            thread::sleep(Duration::from_micros(300)); // real time: what could tell that the worker waits would cost calls of its own, which are counted here
            let _ = done.send(());
            waker.wake();
        }
    });
    for _ in 0..times {
        let (done, woken) = mpsc::channel();
        let mut done = Some(done);
        poll_fn(|cx| {
            if let Some(done) = done.take() {
                let _ = sender.send((cx.waker().clone(), done));
            }
            match woken.try_recv() {
                Ok(()) => Poll::Ready(()),
                Err(_) => Poll::Pending,
            }
        })
        .await;
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

fn echo_client(address: SocketAddr, times: usize) -> io::Result<()> {
    let mut stream = net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buf = [0; 64];
    for _ in 0..times {
        stream.write_all(&buf)?;
        stream.read_exact(&mut buf)?;
    }
    Ok(())
}

/// Waits for the end of each connection before the next.
fn accept_client(address: SocketAddr, times: usize) -> io::Result<()> {
    for _ in 0..times {
        net::TcpStream::connect(address)?.read_exact(&mut [0; 1]).ok();
    }
    Ok(())
}
