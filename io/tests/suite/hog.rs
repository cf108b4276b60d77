//! A task that blocks its worker does not keep others from their sockets.

use std::io::{Read, Write};
use std::net;
use std::sync::mpsc;
use std::thread;

use trioxide_io::TcpListener;
use trioxide_runtime::{Runtime, nursery};

/// The server is idle, until a connection comes whose task blocks; the next connection is served all the same.
#[test]
fn an_idle_server_whose_handler_blocks_serves_the_next_connection() {
    for workers in [2, 8] {
        Runtime::builder().workers(workers).build().unwrap().run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = thread::spawn(move || {
                let mut hog = net::TcpStream::connect(address).unwrap();
                let mut other = net::TcpStream::connect(address).unwrap();
                for stream in [&mut other, &mut hog] {
                    stream.write_all(b"?").unwrap();
                    let mut answer = [0];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"!");
                }
            });
            nursery(async |n| {
                let (other_is_served, hears) = mpsc::channel();
                let (hog, _) = listener.accept().await.unwrap();
                n.spawn(async move {
                    hears.recv().unwrap();
                    hog.read_exact(&mut [0]).await.unwrap();
                    hog.write_all(b"!").await.unwrap();
                });
                n.spawn(async move {
                    let (other, _) = listener.accept().await.unwrap();
                    other.read_exact(&mut [0]).await.unwrap();
                    other.write_all(b"!").await.unwrap();
                    other_is_served.send(()).unwrap();
                });
            })
            .await;
            client.join().unwrap();
        });
    }
}
