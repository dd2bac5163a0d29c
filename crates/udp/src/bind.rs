//! Opening sockets, and saying what to do when one cannot be had.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::buffers::{self, BufferReport, BufferSizes};
use crate::os;

/// A socket could not be opened; none is open.
#[derive(Debug)]
pub struct BindError {
    /// The address that could not be had.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on udp {address}: ")?;
        if os::is_address_family_missing(error) {
            let (missing, other) =
                if address.is_ipv6() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
            return write!(f, "this machine has no {missing}: choose an {other} address");
        }
        if os::is_too_many_open_files(error) {
            return f.write_str("too many open files: raise the limit (ulimit -n)");
        }
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("address already in use: stop the other program or choose another port")
            }
            io::ErrorKind::AddrNotAvailable => f.write_str(
                "this machine does not have that address: choose one of its own, or 0.0.0.0 or \
                 [::] for all of them",
            ),
            io::ErrorKind::PermissionDenied => f.write_str(
                "permission denied: choose a port above 1023, or give the program the right to \
                 use it",
            ),
            _ => error.fmt(f),
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A socket, ready for use without blocking.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) io: mio::net::UdpSocket,
    pub(crate) buffers: BufferReport,
}

/// Whom a socket has its port for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Itself.
    Alone,
    /// All that share it, between which the system spreads what arrives.
    Shared,
}

/// Opens one socket.
///
/// # Errors
/// When the system does not give one, or not with that address.
pub(crate) fn open(
    address: SocketAddr,
    sizes: BufferSizes,
    port: Port,
) -> Result<Bound, BindError> {
    try_open(address, sizes, port).map_err(|error| BindError { address, error })
}

fn try_open(address: SocketAddr, sizes: BufferSizes, port: Port) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Otherwise [::] takes the IPv4 port as well on some systems and not on others, and a
        // peer's address has two spellings.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    if port == Port::Shared {
        os::share_port(&socket)?;
    }
    buffers::resize(&socket, sizes);
    socket.bind(&address.into())?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    let buffers = buffers::report(&socket, local, sizes)?;
    Ok(Bound { io: mio::net::UdpSocket::from_std(socket.into()), buffers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: io::Error) -> String {
        BindError { address: SocketAddr::from(([127, 0, 0, 1], 7000)), error }.to_string()
    }

    #[test]
    fn every_usual_refusal_says_what_to_do() {
        let kinds = [
            (io::ErrorKind::AddrInUse, "choose another port"),
            (io::ErrorKind::AddrNotAvailable, "0.0.0.0"),
            (io::ErrorKind::PermissionDenied, "above 1023"),
        ];
        for (kind, advice) in kinds {
            let told = told(kind.into());
            assert!(told.starts_with("cannot listen on udp 127.0.0.1:7000: "), "{told}");
            assert!(told.contains(advice), "{told}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_address_family_and_a_lack_of_files_are_told_apart() {
        use rustix::io::Errno;
        assert!(told(Errno::AFNOSUPPORT.into()).ends_with("no IPv4: choose an IPv6 address"));
        assert!(told(Errno::MFILE.into()).contains("ulimit -n"));
    }

    #[test]
    fn an_unusual_refusal_is_told_in_the_systems_words() {
        assert!(told(io::Error::other("the dog ate it")).ends_with(": the dog ate it"));
    }
}
