//! What an endpoint may be told, with limits for everything that a peer can make grow.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::segment::MESSAGE_LEN_MAX;

/// The host's UDP port of the sync lane. A client sends there; to a host it only says that its
/// second own port ([`Port(1)`](moorline_link::Port)) exists, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPort(pub u16);

/// The settings of a [`KcpEndpoint`](crate::KcpEndpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KcpConfig {
    /// Client: the conversation number of the first dial; each later dial takes the next. Default
    /// 1, which existing hosts expect. No effect on a host, which takes the number of the peer's
    /// first datagram.
    pub conversation: u32,
    /// The second UDP port, for messages of which only the newest counts. Default `None`: all
    /// traffic uses the reliable port. Costs a second conversation (about 5 KiB) a link.
    pub sync: Option<SyncPort>,
    /// The most links, and on a host as many sync endpoints again; more are dropped silently.
    /// Default 4,096. Each costs about 5 KiB while quiet.
    pub links_max: usize,
    /// Host: the most links of one IP address, and as many sync endpoints again. Default 64, for
    /// players behind one router. A stranger cannot take more of the places than this.
    pub links_per_address_max: usize,
    /// Host: the most links that asked and are not logged in, and as many sync endpoints that
    /// belong to nobody yet. Default 1,024. Each may cost `pending_bytes_max` on top of a link.
    pub pending_links_max: usize,
    /// Host: how long a link may take from its first datagram to its login, whatever it sends.
    /// Default 10 s.
    pub pending_time: Duration,
    /// Host: how many bytes a link may send before its login, with 24 for each segment's header.
    /// Default 16 KiB, at least 1,500 (one datagram). A link that sends more is lost.
    pub pending_bytes_max: usize,
    /// The most segments that wait on a link's reliable lane, in flight or not; more is refused
    /// with [`SendError::Full`](moorline_link::SendError::Full). Default 1,024, which can cost
    /// 1.2 MiB a link; at least 127, the segments of the longest message.
    pub send_queue_len_max: usize,
    /// The longest payload of one message, both ways, in bytes. Default 64 KiB, at most 149,342.
    pub message_len_max: usize,
    /// Above how many waiting segments a newest-wins message waits where a newer one can replace
    /// it. Default 32. Fewer make states fresher on a slow path, more carry more of them a second.
    pub latest_waiting_len_max: usize,
    /// The most keys of newest-wins messages that wait to be sent, and the most players whose
    /// newest tick is remembered, a link. Default 1,024, which costs 64 bytes a key in use.
    pub latest_keys_max: usize,
    /// How long a link that ended still repeats its last words and acknowledges the peer's.
    /// Default 1 s.
    pub linger: Duration,
    /// The most bytes of datagrams that wait for the driver; more are dropped, which to the peers
    /// is loss. Default 16 MiB.
    pub transmit_bytes_max: usize,
}

impl Default for KcpConfig {
    fn default() -> Self {
        Self {
            conversation: 1,
            sync: None,
            links_max: 4_096,
            links_per_address_max: 64,
            pending_links_max: 1_024,
            pending_time: Duration::from_secs(10),
            pending_bytes_max: 16 * 1_024,
            send_queue_len_max: 1_024,
            message_len_max: 64 * 1_024,
            latest_waiting_len_max: 32,
            latest_keys_max: 1_024,
            linger: Duration::from_secs(1),
            transmit_bytes_max: 16 * 1_024 * 1_024,
        }
    }
}

impl KcpConfig {
    /// Whether an endpoint can work with these settings.
    ///
    /// # Errors
    /// The first setting that it cannot work with.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = [
            ("links_max", self.links_max, 1),
            ("links_per_address_max", self.links_per_address_max, 1),
            ("pending_links_max", self.pending_links_max, 1),
            ("pending_bytes_max", self.pending_bytes_max, 1_500),
            ("send_queue_len_max", self.send_queue_len_max, 127),
            ("message_len_max", self.message_len_max, 1),
            ("latest_waiting_len_max", self.latest_waiting_len_max, 1),
            ("latest_keys_max", self.latest_keys_max, 1),
            ("transmit_bytes_max", self.transmit_bytes_max, 1_500),
        ];
        for (setting, value, least) in least {
            if value < least {
                return Err(ConfigError::TooSmall { setting, value, least });
            }
        }
        if self.message_len_max > MESSAGE_LEN_MAX {
            let (value, most) = (self.message_len_max, MESSAGE_LEN_MAX);
            return Err(ConfigError::TooLarge { setting: "message_len_max", value, most });
        }
        if self.pending_time.is_zero() {
            return Err(ConfigError::NoTime { setting: "pending_time" });
        }
        Ok(())
    }
}

/// Whether these two own ports can be bound: they must differ, unless both are 0 and the operating
/// system chooses. It is for whoever binds them.
///
/// # Errors
/// [`ConfigError::EqualPorts`].
pub const fn check_ports(reliable: u16, sync: u16) -> Result<(), ConfigError> {
    if reliable == sync && reliable != 0 {
        return Err(ConfigError::EqualPorts { port: reliable });
    }
    Ok(())
}

/// Why an endpoint cannot work with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A limit leaves no room for anything.
    TooSmall {
        /// The field's name.
        setting: &'static str,
        /// What it was set to.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// A limit is above what KCP carries.
    TooLarge {
        /// The field's name.
        setting: &'static str,
        /// What it was set to.
        value: usize,
        /// The most that works.
        most: usize,
    },
    /// A time is zero.
    NoTime {
        /// The field's name.
        setting: &'static str,
    },
    /// A client was given 0 as the host's sync port, to which nothing can be sent.
    NoSyncPort,
    /// The reliable and the sync port are the same.
    EqualPorts {
        /// That port.
        port: u16,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { setting, value, least } => {
                write!(f, "{setting} is {value}, the least is {least}")
            }
            Self::TooLarge { setting, value, most } => {
                write!(f, "{setting} is {value}, the most is {most}")
            }
            Self::NoTime { setting } => write!(f, "{setting} is zero"),
            Self::NoSyncPort => f.write_str("the host's sync port is 0"),
            Self::EqualPorts { port } => {
                write!(f, "the reliable and the sync lane have the same port {port}")
            }
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_refused_by_name() {
        assert_eq!(KcpConfig::default().check(), Ok(()));
        let none = KcpConfig { links_max: 0, ..KcpConfig::default() };
        let error = none.check().expect_err("no links");
        assert_eq!(error.to_string(), "links_max is 0, the least is 1");
        let long = KcpConfig { message_len_max: 200_000, ..KcpConfig::default() };
        let error = long.check().expect_err("too long");
        assert_eq!(error.to_string(), "message_len_max is 200000, the most is 149342");
    }

    #[test]
    fn equal_ports_are_refused_unless_the_system_chooses() {
        assert_eq!(check_ports(8_080, 8_081), Ok(()));
        assert_eq!(check_ports(0, 0), Ok(()));
        assert_eq!(check_ports(8_080, 8_080), Err(ConfigError::EqualPorts { port: 8_080 }));
    }
}
