//! What each system answers in its own way: fragments, marks, and the errors that the standard
//! library has no stable name for.

use std::io;

use mio::net::UdpSocket;
use moorline_link::Ecn;
use quinn_udp::EcnCodepoint;

/// Datagrams leave whole or not at all, and what routers said of the path's length is not believed:
/// whoever sends finds it out by asking the peer.
#[cfg(target_os = "linux")]
pub(crate) fn forbid_fragments(socket: &UdpSocket) -> io::Result<()> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };

    if socket.local_addr()?.is_ipv4() {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?;
    } else {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?;
    }
    Ok(())
}

/// What is longer than the path carries is cut, as usual over IPv4; over IPv6 it is lost.
#[cfg(target_os = "linux")]
pub(crate) fn allow_fragments(socket: &UdpSocket) -> io::Result<()> {
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};

    if socket.local_addr()?.is_ipv4() {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::WANT)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn allow_fragments(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forbid_fragments(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What `quinn-udp` asks to be told of every datagram and nobody here uses: when it arrived, and at
/// which address. Both cost time, and marks have no room beside them where datagrams are joined.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_less(socket: &UdpSocket) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};

    setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
    if socket.local_addr()?.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &false)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_less(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What datagrams are marked with from now on that do not say it themselves.
#[cfg(target_os = "linux")]
pub(crate) fn mark_with(socket: &UdpSocket, ecn: Ecn) -> io::Result<()> {
    use rustix::net::sockopt::{set_ip_tos, set_ipv6_tclass};

    let bits = ecn_codepoint(ecn).map_or(0, |codepoint| codepoint as u8);
    if socket.local_addr()?.is_ipv4() {
        set_ip_tos(socket, bits)?;
    } else {
        set_ipv6_tclass(socket, bits.into())?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn mark_with(_: &UdpSocket, _: Ecn) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The two bits of the IP header.
pub(crate) const fn ecn_codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotCapable => None,
        Ecn::Capable => Some(EcnCodepoint::Ect0),
        Ecn::Congested => Some(EcnCodepoint::Ce),
    }
}

/// Other sockets of this user's may have the same port, and the system spreads what arrives.
#[cfg(unix)]
pub(crate) fn share_port(socket: &socket2::Socket) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_reuseport(socket, true)?)
}

#[cfg(not(unix))]
pub(crate) fn share_port(_: &socket2::Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a queue between here and the wire is full, for the moment.
pub(crate) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || is_any(error, &codes::NO_BUFFERS)
}

/// Whether the datagram is larger than the path, or on Windows the receiver's buffer, takes.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    is_any(error, &codes::TOO_LARGE)
}

/// Whether the machine does without IPv4 or IPv6, whichever was asked for.
pub(crate) fn is_address_family_missing(error: &io::Error) -> bool {
    is_any(error, &codes::NO_ADDRESS_FAMILY)
}

/// Whether the process or the machine has as many files open as it may have.
pub(crate) fn is_too_many_open_files(error: &io::Error) -> bool {
    is_any(error, &codes::TOO_MANY_FILES)
}

fn is_any(error: &io::Error, codes: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

#[cfg(unix)]
mod codes {
    use rustix::io::Errno;

    pub(super) const NO_BUFFERS: [i32; 1] = [Errno::NOBUFS.raw_os_error()];
    pub(super) const TOO_LARGE: [i32; 1] = [Errno::MSGSIZE.raw_os_error()];
    pub(super) const NO_ADDRESS_FAMILY: [i32; 1] = [Errno::AFNOSUPPORT.raw_os_error()];
    pub(super) const TOO_MANY_FILES: [i32; 2] =
        [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
}

#[cfg(not(unix))]
mod codes {
    // Winsock's numbers: WSAENOBUFS, WSAEMSGSIZE, WSAEAFNOSUPPORT, WSAEMFILE.
    pub(super) const NO_BUFFERS: [i32; 1] = [10055];
    pub(super) const TOO_LARGE: [i32; 1] = [10040];
    pub(super) const NO_ADDRESS_FAMILY: [i32; 1] = [10047];
    pub(super) const TOO_MANY_FILES: [i32; 1] = [10024];
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_full_queue_has_two_names() {
        assert!(is_full(&Errno::AGAIN.into()));
        assert!(is_full(&Errno::NOBUFS.into()));
        assert!(!is_full(&Errno::PERM.into()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn whole_datagrams_are_asked_for_on_both_families() {
        use rustix::net::sockopt::{ip_mtu_discover, ipv6_mtu_discover};

        let four = UdpSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        forbid_fragments(&four).expect("Linux can");
        assert_eq!(ip_mtu_discover(&four).map(|it| it.as_raw()), Ok(3));
        // Some machines have no IPv6.
        if let Ok(six) = UdpSocket::bind("[::1]:0".parse().expect("an address")) {
            forbid_fragments(&six).expect("Linux can");
            assert_eq!(ipv6_mtu_discover(&six).map(|it| it.as_raw()), Ok(3));
        }
    }
}
