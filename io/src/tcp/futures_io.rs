//! `futures-io`'s traits.

use super::TcpStream;
use crate::methods::{futures_read, futures_write};

futures_read!(&TcpStream, self => TcpStream::stream(*self));
futures_write!(&TcpStream, self => TcpStream::stream(*self));
futures_read!(TcpStream, self => self.stream());
futures_write!(TcpStream, self => self.stream());
futures_read!(super::ReadHalf<'_>, self => self.stream());
futures_write!(super::WriteHalf<'_>, self => self.stream());
futures_read!(super::OwnedReadHalf, self => self.stream());
futures_write!(super::OwnedWriteHalf, self => self.stream());
