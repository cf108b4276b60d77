//! Many messages by one call.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::UdpSocket;
use crate::network::Datagrams;
use crate::reactor::{Direction, Done};

/// As many go by one call at most, so that other tasks have their turn.
const MOST: usize = 64;

impl UdpSocket {
    /// Sends messages to the connected peer, from the first on, as many as there is room for, and gives their number: 64 at most. Waits while
    /// there is room for none. It is one call of the system where that has one for many (sendmmsg(2), on Linux), and of the budget of
    /// the task it takes as much as one [`send`](UdpSocket::send).
    ///
    /// ```
    /// # use trioxide_io::UdpSocket;
    /// async fn send_all(socket: &UdpSocket, mut messages: &[Vec<u8>]) -> std::io::Result<()> {
    ///     while !messages.is_empty() {
    ///         let sent = socket.send_many(messages).await?;
    ///         messages = &messages[sent..];
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send), of the first message. If another cannot be sent, the number says which: sent again, it tells why,
    /// if that still holds.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send_many(&self, messages: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let messages: Vec<_> = messages.iter().take(MOST).map(|message| (message.as_ref(), None)).collect();
        self.send_these("UdpSocket::send_many", &messages).await
    }

    /// As [`send_many`](UdpSocket::send_many), each to an address of its own.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to), of the first message.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send_many_to(&self, messages: &[(impl AsRef<[u8]>, SocketAddr)]) -> io::Result<usize> {
        let messages: Vec<_> = messages.iter().take(MOST).map(|(message, to)| (message.as_ref(), Some(*to))).collect();
        self.send_these("UdpSocket::send_many_to", &messages).await
    }

    async fn send_these(&self, operation: &'static str, messages: &[(&[u8], Option<SocketAddr>)]) -> io::Result<usize> {
        if messages.is_empty() {
            return self.inner.touch(Direction::Write, operation).await.map(|()| 0);
        }
        let send = |socket: &Datagrams| socket.send_many(messages).map(Done::more);
        self.inner.io(Direction::Write, operation, send).await
    }

    /// Receives the messages that are there, as many as `into` has room for and 64 at most, in place of what is in it, and gives their number.
    /// Waits while there is none. One call of the system where that has one for many (recvmmsg(2), on Linux), which takes as
    /// much of the budget of the task as one [`recv`](UdpSocket::recv).
    ///
    /// ```
    /// use trioxide_io::{Messages, UdpSocket};
    /// # trioxide_runtime::run(async {
    /// let (one, other) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    /// let to = other.local_addr()?;
    /// assert_eq!(one.send_many_to(&[("hello", to), ("again", to)]).await?, 2);
    /// let mut messages = Messages::new(16, 1500);
    /// assert_eq!(other.recv_many(&mut messages).await?, 2);
    /// for (message, from) in messages.iter() {
    ///     println!("{} bytes from {from}", message.len());
    /// }
    /// # Ok::<_, std::io::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from), if there is no message before it.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no message has been taken, and `into` is empty.
    pub async fn recv_many(&self, into: &mut Messages) -> io::Result<usize> {
        into.got.clear();
        let Messages { room, bytes, got } = &mut *into;
        let receive = |socket: &Datagrams| {
            got.clear();
            socket.recv_many(room.chunks_exact_mut(*bytes).take(MOST), got).map(Done::more)
        };
        self.inner.io(Direction::Read, "UdpSocket::recv_many", receive).await?;
        Ok(into.len())
    }
}

/// Room for several messages, used again and again: what [`UdpSocket::recv_many`] has received, with the senders.
#[derive(Clone)]
pub struct Messages {
    /// Places of so many `bytes`, one behind the other.
    room: Box<[u8]>,
    bytes: usize,
    /// The lengths and senders of those in the first places.
    got: Vec<(usize, SocketAddr)>,
}

impl Messages {
    /// Room for `count` messages of up to `bytes` bytes each; what is longer is cut off as it is received.
    ///
    /// # Panics
    /// If either is zero.
    pub fn new(count: usize, bytes: usize) -> Messages {
        assert!(
            count > 0 && bytes > 0,
            "trioxide: `Messages::new({count}, {bytes})` has no room for a message; make room for one of one byte at least"
        );
        let size = count.checked_mul(bytes).expect("trioxide: `Messages::new` with more room than there are addresses");
        Messages { room: vec![0; size].into(), bytes, got: Vec::with_capacity(count.min(MOST)) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.got.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.got.is_empty()
    }

    /// Each with its sender, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], SocketAddr)> {
        self.room.chunks_exact(self.bytes).zip(&self.got).map(|(place, (length, from))| (&place[..*length], *from))
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
