//! Records out of what the transport brings, and not a byte more.
//!
//! rustls would take all it is given, also what comes after the peer's goodbye, and that may be for somebody else
//! ([`TlsStream::into_parts`](super::TlsStream::into_parts)). So it is given one record at a time, as far as that has come. A record
//! starts with five bytes: its type, two of a version, two of the length of the rest.

use std::io;

use rustls::Connection;

const HEADER: usize = 5;
/// As much as the largest record.
const SIZE: usize = HEADER + (1 << 14) + 2048;

pub(super) struct Incoming {
    buf: Box<[u8]>,
    /// What has come and was not given on: `buf[start..end]`.
    start: usize,
    end: usize,
    /// What is missing of the record that was begun: of its header, then of the rest.
    header: [u8; HEADER],
    header_len: usize,
    rest: usize,
}

impl Incoming {
    pub(super) fn new() -> Incoming {
        Incoming { buf: vec![0; SIZE].into(), start: 0, end: 0, header: [0; HEADER], header_len: 0, rest: 0 }
    }

    /// Where the transport puts more. Only when all that has come was given on.
    pub(super) fn space(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty());
        &mut self.buf
    }

    /// So many bytes have been put there.
    pub(super) fn filled(&mut self, count: usize) {
        (self.start, self.end) = (0, count);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes what was not given on.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let rest = self.buf[self.start..self.end].to_vec();
        self.start = self.end;
        rest
    }

    /// Gives on what has come, at most to the end of a header or of a record.
    pub(super) fn feed(&mut self, connection: &mut Connection) -> io::Result<()> {
        while !self.is_empty() {
            let come = self.end - self.start;
            let count = match self.rest {
                0 => come.min(HEADER - self.header_len),
                rest => come.min(rest),
            };
            let mut piece = &self.buf[self.start..][..count];
            while !piece.is_empty() {
                if connection.read_tls(&mut piece)? == 0 {
                    break; // it takes no more: it has said goodbye, or failed
                }
            }
            let in_header = self.rest == 0;
            if in_header {
                self.header[self.header_len..][..count].copy_from_slice(&self.buf[self.start..][..count]);
                self.header_len += count;
            } else {
                self.rest -= count;
            }
            self.start += count;
            if in_header && self.header_len == HEADER {
                self.header_len = 0;
                self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
            }
            // Also after a header alone: rustls sees by it what is no TLS, and so that nothing more is waited for.
            if self.header_len == 0 && (in_header || self.rest == 0) {
                break;
            }
        }
        Ok(())
    }
}
