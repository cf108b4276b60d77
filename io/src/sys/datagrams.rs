//! Many datagrams by one call: sendmmsg(2), recvmmsg(2).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// Sends as many as there is room for, and says how many that were. An error only if the first cannot be sent.
pub(crate) fn send_many(socket: &UdpSocket, messages: &[(&[u8], Option<SocketAddr>)]) -> io::Result<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = messages.iter().map(|(message, _)| [IoSlice::new(message)]).collect();
    let addresses: Vec<Option<SocketAddrAny>> = messages.iter().map(|(_, to)| to.map(|to| to.as_any())).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = messages.iter().map(|_| Default::default()).collect();
    let parts = slices.iter().zip(&addresses).zip(&mut controls);
    let mut headers: Vec<MMsgHdr<'_>> = parts
        .map(|((slice, address), control)| match address {
            Some(address) => MMsgHdr::new_with_addr(address, slice, control),
            None => MMsgHdr::new(slice, control),
        })
        .collect();
    Ok(sendmmsg(socket, &mut headers, SendFlags::empty())?)
}

/// Takes what is there, each into one of `bufs`, and adds lengths and senders to `got`. An error only if there is nothing.
pub(crate) fn recv_many<'a>(
    socket: &UdpSocket,
    bufs: impl Iterator<Item = &'a mut [u8]>,
    got: &mut Vec<(usize, SocketAddr)>,
) -> io::Result<()> {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = bufs.map(|buf| [IoSliceMut::new(buf)]).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), None);
    let came = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::empty(), None)?;
    for message in came {
        let from = message.address.and_then(socket_addr).ok_or(rustix::io::Errno::AFNOSUPPORT)?;
        got.push((message.bytes, from));
    }
    Ok(())
}

fn socket_addr(address: SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    four.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}
