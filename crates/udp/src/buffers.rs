//! The kernel's queues in front of and behind a socket: what was asked, and what was granted.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::Socket;

/// How large the kernel's queues of a socket should be. The kernel allots memory only to datagrams
/// that really wait, so a large queue costs nothing while the program keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// Room for datagrams that arrived and were not received yet, in bytes; `None` leaves it to the
    /// system (208 KiB on most Linux machines). Too small, and a burst of a few hundred clients in
    /// one tick is dropped before the program sees it. Whoever asks for more also receives more
    /// with one call of the system, into memory of its own: a tenth of this or so is in use.
    pub receive_bytes: Option<usize>,
    /// Room for datagrams that were sent and have not left yet, in bytes; `None` leaves it to the
    /// system. Too small, and [`Sent::Full`](crate::Sent::Full) comes early in a busy tick.
    pub send_bytes: Option<usize>,
}

impl BufferSizes {
    /// For a socket that serves many peers: 4 MiB each way.
    pub const HOST: Self = Self { receive_bytes: Some(4 << 20), send_bytes: Some(4 << 20) };

    /// Whatever the system has, which is enough for a socket with one peer.
    pub const SYSTEM: Self = Self { receive_bytes: None, send_bytes: None };

    /// How many pieces of 64 KiB one call may receive.
    pub(crate) fn pieces_max(self) -> usize {
        self.receive_bytes.map_or(1, |bytes| bytes >> 16)
    }
}

/// One queue of one socket: what was asked and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What [`BufferSizes`] asked for, in bytes.
    pub asked_bytes: Option<usize>,
    /// What the system gave, in bytes and in the asker's terms: Linux reports twice of it, because
    /// it counts its own bookkeeping, and that is taken out here.
    pub granted_bytes: usize,
}

impl Granted {
    /// Whether less was given than asked.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.asked_bytes.is_some_and(|asked_bytes| self.granted_bytes < asked_bytes)
    }
}

/// The queues of one socket. Printed, it says which setting to raise if one was capped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferReport {
    /// The socket's own address.
    pub local: SocketAddr,
    /// The queue of what arrived.
    pub receive: Granted,
    /// The queue of what is sent.
    pub send: Granted,
}

impl BufferReport {
    /// Whether one of the queues is smaller than asked, which deserves a line in the log.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.receive.is_capped() || self.send.is_capped()
    }
}

impl fmt::Display for BufferReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, receive, send } = self;
        let (received, sent) = (receive.granted_bytes, send.granted_bytes);
        write!(f, "udp {local}: buffers of {received} bytes to receive, {sent} to send")?;
        for (queue, setting) in [(receive, Queue::Receive), (send, Queue::Send)] {
            if let Some(asked_bytes) = queue.asked_bytes.filter(|_| queue.is_capped()) {
                let (name, advice) = (setting.name(), setting.advice());
                write!(f, "; {asked_bytes} were asked to {name}: {advice}")?;
                if cfg!(any(target_os = "linux", target_os = "android")) {
                    write!(f, "={asked_bytes}")?;
                }
            }
        }
        Ok(())
    }
}

/// Asks for the sizes. A system that gives less is no error; [`report`] tells.
pub(crate) fn resize(socket: &Socket, sizes: BufferSizes) {
    for (queue, asked_bytes) in
        [(Queue::Receive, sizes.receive_bytes), (Queue::Send, sizes.send_bytes)]
    {
        let Some(asked_bytes) = asked_bytes else { continue };
        // Linux gives the most it may; the BSDs refuse what is over their limit, so that one has to
        // come down to it. Every round halves, so there are as many as the number has bits.
        let mut bytes = asked_bytes;
        while bytes > 0 && queue.set(socket, bytes).is_err() {
            bytes /= 2;
        }
    }
}

/// What the socket's queues are now.
///
/// # Errors
/// When the system does not say.
pub(crate) fn report(
    socket: &Socket,
    local: SocketAddr,
    sizes: BufferSizes,
) -> io::Result<BufferReport> {
    let granted = |queue: Queue, asked_bytes| {
        let granted_bytes = usable(queue.size(socket)?);
        Ok::<_, io::Error>(Granted { asked_bytes, granted_bytes })
    };
    let receive = granted(Queue::Receive, sizes.receive_bytes)?;
    let send = granted(Queue::Send, sizes.send_bytes)?;
    Ok(BufferReport { local, receive, send })
}

/// Which of a socket's two queues.
#[derive(Clone, Copy)]
enum Queue {
    Receive,
    Send,
}

impl Queue {
    fn set(self, socket: &Socket, bytes: usize) -> io::Result<()> {
        match self {
            Self::Receive => socket.set_recv_buffer_size(bytes),
            Self::Send => socket.set_send_buffer_size(bytes),
        }
    }

    fn size(self, socket: &Socket) -> io::Result<usize> {
        match self {
            Self::Receive => socket.recv_buffer_size(),
            Self::Send => socket.send_buffer_size(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Receive if cfg!(any(target_os = "linux", target_os = "android")) => {
                "raise it with sysctl -w net.core.rmem_max"
            }
            Self::Send if cfg!(any(target_os = "linux", target_os = "android")) => {
                "raise it with sysctl -w net.core.wmem_max"
            }
            Self::Receive | Self::Send => "raise the system's limit on socket buffers",
        }
    }
}

/// The part of a reported size that holds datagrams.
const fn usable(reported_bytes: usize) -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        reported_bytes / 2
    } else {
        reported_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(asked_bytes: Option<usize>, granted_bytes: usize) -> Granted {
        Granted { asked_bytes, granted_bytes }
    }

    #[test]
    fn a_queue_is_capped_only_below_what_was_asked() {
        assert!(!queue(None, 1).is_capped());
        assert!(!queue(Some(4096), 4096).is_capped());
        assert!(!queue(Some(4096), 8192).is_capped());
        assert!(queue(Some(4096), 4095).is_capped());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_report_names_the_setting_to_raise() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7000));
        let capped = BufferReport { local, receive: queue(Some(400), 100), send: queue(None, 200) };
        assert!(capped.is_capped());
        assert_eq!(
            capped.to_string(),
            "udp 127.0.0.1:7000: buffers of 100 bytes to receive, 200 to send; 400 were asked to \
             receive: raise it with sysctl -w net.core.rmem_max=400"
        );
        let both = BufferReport { send: queue(Some(300), 200), ..capped };
        assert!(both.to_string().ends_with("sysctl -w net.core.wmem_max=300"));
    }

    #[test]
    fn a_report_of_what_was_granted_in_full_gives_no_advice() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7000));
        let full = BufferReport { local, receive: queue(Some(1), 1), send: queue(None, 2) };
        assert!(!full.is_capped());
        assert!(!full.to_string().contains("raise"));
    }
}
