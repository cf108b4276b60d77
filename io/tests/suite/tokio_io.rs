//! tokio's traits, with memory that nobody has initialised.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;

use futures_util::future::try_join;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use trioxide_io::{TcpListener, TcpStream};
use trioxide_testing::on_each;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
    (client, accepted.0)
}

/// What one read brings, after what is in the buffer already.
async fn read(from: &mut (impl AsyncRead + Unpin), already: &[u8]) -> io::Result<Vec<u8>> {
    let mut space = [MaybeUninit::uninit(); 16];
    let mut buf = ReadBuf::uninit(&mut space);
    buf.put_slice(already);
    poll_fn(|cx| Pin::new(&mut *from).poll_read(cx, &mut buf)).await?;
    Ok(buf.filled().to_vec())
}

#[test]
fn reads_into_memory_that_is_not_initialised() {
    on_each(&[1, 2], async || {
        let (client, mut server) = pair().await;
        client.write_all(b"abcdefghijklmnopqrst").await.unwrap();
        assert_eq!(read(&mut server, b"..").await.unwrap(), b"..abcdefghijklmn");
        assert_eq!(read(&mut server, b"").await.unwrap(), b"opqrst");
        drop(client);
        assert_eq!(read(&mut server, b"").await.unwrap(), b"");
    });
}

#[test]
fn writes_vectored_and_shuts_down() {
    on_each(&[1, 2], async || {
        let (mut client, mut server) = pair().await;
        assert!(client.is_write_vectored());
        let pieces = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        let count = poll_fn(|cx| Pin::new(&mut client).poll_write_vectored(cx, &pieces)).await;
        assert_eq!(count.unwrap(), 5);
        poll_fn(|cx| Pin::new(&mut client).poll_shutdown(cx)).await.unwrap();
        assert_eq!(read(&mut server, b"").await.unwrap(), b"abcde");
        assert_eq!(read(&mut server, b"").await.unwrap(), b"");
    });
}

#[test]
fn halves_implement_them_too() {
    on_each(&[1, 2], async || {
        let (mut client, server) = pair().await;
        let (_, mut write) = client.split();
        let (mut read_half, _write_half) = server.into_split();
        let count = poll_fn(|cx| Pin::new(&mut write).poll_write(cx, b"abc")).await;
        assert_eq!(count.unwrap(), 3);
        assert_eq!(read(&mut read_half, b"").await.unwrap(), b"abc");
    });
}
