//! What an endpoint may be told, with limits for everything that a peer can make grow.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moorline_link::Refusal;

use super::siblings::Sibling;
use crate::crypto::{LinkSecrets, Secret};
use crate::recovery::early::Repetition;
use crate::wire::{ConnectionId, DATAGRAM_LEN_BASE, Suite, TOKEN_LEN_MAX};

/// The settings of an [`Endpoint`](super::Endpoint).
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// What the application calls its own protocol; a host refuses clients of another. Default 0.
    pub application: u64,
    /// Client: the cipher to ask for. Host: [`Suite::ChaCha`] turns clients that ask for AES to
    /// ChaCha20. Default [`Suite::Aes`].
    pub suite: Suite,
    /// Client: what lets it in, where the host asks for something. Default `None`.
    pub token: Option<Token>,
    /// Host: who reads tokens, before anything is kept of a client. Default `None`: nobody needs
    /// one, and who brings one is not answered.
    pub admission: Option<Arc<dyn Admission>>,
    /// The most links; more first packets are dropped silently. Default 4,096.
    pub links_max: usize,
    /// Host: the most links of one IP address, or of one /64 of IPv6. Default 1,024.
    pub links_per_address_max: usize,
    /// Host: the most links whose client did not answer yet; the oldest make room. From an eighth
    /// of it on, clients must show that they are where they say. Default 1,024.
    pub half_open_max: usize,
    /// Host: how many of them one IP address, or one /64, may have. Default 64; a client that finds
    /// no place asks again.
    pub half_open_per_address_max: usize,
    /// Host: how long a client may take from its first packet to its answer. Default 5 s.
    pub half_open_time: Duration,
    /// Host: from how many first packets a second on clients must show that they are where they
    /// say. Default 500; 0 asks all of them.
    pub hello_rate_max: u32,
    /// The most bytes of messages that wait or are not acknowledged, a link, with 64 for each
    /// message; more is refused with [`SendError::Full`](moorline_link::SendError::Full). Default
    /// 2 MiB, in use only while they wait.
    pub send_bytes_max: usize,
    /// How many bytes of reliable messages the peer may send ahead of what was delivered, a link,
    /// with 64 for each message. The longest message is that much shorter. Default 1 MiB, in use
    /// only while something is missing.
    pub data_max: u64,
    /// The silence after which a link is lost. Default 30 s.
    pub idle: Duration,
    /// After how much silence of its own a side says something, which keeps the path's routers from
    /// forgetting the link. Default 10 s.
    pub keep_alive: Duration,
    /// How long the last messages of a link that is closed may take. Default 1 s.
    pub linger: Duration,
    /// How long an acknowledgement waits at most for a packet that leaves anyway. Default 20 ms.
    pub ack_delay_max: Duration,
    /// The longest datagram that is sent and taken, in bytes. Default 1,452, which Ethernet carries
    /// over IPv6 too; at least 1,200. Longer ones than 1,200 are sent when the path carries them.
    pub datagram_len_max: u16,
    /// Whether small reliable messages are repeated before they are known to be lost. Default: as
    /// many bytes of copies as of all else, where a path loses something.
    pub repetition: Repetition,
    /// Host: tells hosts apart that share a key. Default 0.
    pub node: u16,
    /// For how long the lanes of a link that was lost are kept for another at most, however long
    /// its session is kept. Default 10 minutes; zero keeps none.
    pub keep_time: Duration,
    /// The most bytes of messages of lost links that are kept, in all; what waits on the longest
    /// kept makes room. Default 64 MiB, in use only while they wait.
    pub keep_bytes_max: usize,
    /// Host: when no message moved for so long and nothing else is on its way, a link is written
    /// down in few bytes until a packet comes. Default 1 s. To write it down and to make it anew
    /// takes 23,000 instructions: with more, a host with few links has more memory and less to do.
    pub rest_after: Duration,
    /// Host: its place among endpoints that serve its address together, with one key. Default
    /// `None`: it serves it alone.
    pub sibling: Option<Sibling>,
    /// Packets that one key seals before the next takes its place, on this side; 16 at the least.
    /// Default: 2^20, a small part of what its cipher allows; more changes nothing.
    pub key_packets_max: u32,
    /// Whether routers may mark what is sent where their queues grow, instead of dropping it later
    /// (ECN, RFC 3168). Each path is tested for it, and nothing is marked where it harms. Marks of
    /// what arrives are told in any case. Default true; no memory.
    pub ecn: bool,
    /// What the calendar says at [`Time::ZERO`](moorline_link::Time::ZERO), as the time since 1970;
    /// hosts that pass clients on to each other need it. Default 0.
    pub unix_at_zero: Duration,
    /// Who is told the keys of every link. Default `None`.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            application: 0,
            suite: Suite::Aes,
            token: None,
            admission: None,
            links_max: 4_096,
            links_per_address_max: 1_024,
            half_open_max: 1_024,
            half_open_per_address_max: 64,
            half_open_time: Duration::from_secs(5),
            hello_rate_max: 500,
            send_bytes_max: 2 * 1_024 * 1_024,
            data_max: 1_024 * 1_024,
            idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            ack_delay_max: Duration::from_millis(20),
            datagram_len_max: 1_452,
            repetition: Repetition::DEFAULT,
            node: 0,
            keep_time: Duration::from_secs(600),
            keep_bytes_max: 64 * 1_024 * 1_024,
            rest_after: Duration::from_secs(1),
            sibling: None,
            key_packets_max: 1 << 20,
            ecn: true,
            unix_at_zero: Duration::ZERO,
            key_log: None,
        }
    }
}

/// What a client brings to be let in.
#[derive(Clone, Debug)]
pub struct Token {
    /// What travels in the open; for the host's [`Admission`] to read. At most
    /// [`TOKEN_LEN_MAX`] bytes, at least one.
    pub bytes: Vec<u8>,
    /// What the token stands for, known to the client and to whoever can read the token: without
    /// it a stolen token is worth nothing.
    pub secret: Secret,
}

/// Reads tokens for a host. It is asked before a key is touched or anything is kept, for each first
/// packet with a token, so it must be quick and must bear strangers.
pub trait Admission: fmt::Debug + Send + Sync {
    /// What a token stands for, and whether it lets its bearer in.
    fn admit(&self, token: &[u8], from: SocketAddr) -> Admitted;
}

/// Is told the keys of every link, to look into recorded traffic. Whoever has them can read and
/// forge all of the link's packets.
pub trait KeyLog: fmt::Debug + Send + Sync {
    /// A link has its keys: a client's with the host's yes, a host's with its own. `connection` is
    /// what its packets to the host carry.
    fn on_link(&self, connection: ConnectionId, suite: Suite, secrets: &LinkSecrets);
}

/// What a token is worth.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// It lets in whoever knows its secret.
    Yes {
        /// What it stands for.
        secret: Secret,
    },
    /// It does not, and whoever knows its secret is told why.
    No {
        /// What it stands for.
        secret: Secret,
        /// Why not.
        refusal: Refusal,
    },
    /// It is no token of this host. Its bearer gets no answer: there is no secret to say it under.
    Unknown,
}

impl EndpointConfig {
    /// Whether an endpoint can work with these settings.
    ///
    /// # Errors
    /// The first setting that it cannot work with.
    pub fn check(&self) -> Result<(), ConfigError> {
        let datagram_len_max = usize::from(self.datagram_len_max);
        let data_max = usize::try_from(self.data_max).unwrap_or(usize::MAX);
        let least = [
            ("links_max", self.links_max, 1),
            ("links_per_address_max", self.links_per_address_max, 1),
            ("half_open_max", self.half_open_max, 8),
            ("half_open_per_address_max", self.half_open_per_address_max, 1),
            ("send_bytes_max", self.send_bytes_max, 4_096),
            ("data_max", data_max, 4_096),
            ("key_packets_max", self.key_packets_max as usize, 16),
            ("datagram_len_max", datagram_len_max, DATAGRAM_LEN_BASE),
        ];
        for (setting, value, least) in least {
            if value < least {
                return Err(ConfigError::TooSmall { setting, value, least });
            }
        }
        let times = [
            ("half_open_time", self.half_open_time),
            ("idle", self.idle),
            ("keep_alive", self.keep_alive),
        ];
        if let Some((setting, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(ConfigError::NoTime { setting });
        }
        match &self.token {
            Some(token) if token.bytes.is_empty() || token.bytes.len() > TOKEN_LEN_MAX => {
                Err(ConfigError::Token { len: token.bytes.len() })
            }
            _ => Ok(()),
        }
    }
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
    /// A time is zero.
    NoTime {
        /// The field's name.
        setting: &'static str,
    },
    /// A token has no bytes, or more than travel.
    Token {
        /// How many it has.
        len: usize,
    },
    /// The host's key is none that a host can have.
    HostKey,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { setting, value, least } => {
                write!(f, "{setting} is {value}, the least is {least}")
            }
            Self::NoTime { setting } => write!(f, "{setting} is zero"),
            Self::Token { len } => {
                write!(f, "a token has {len} bytes, it may have 1 to {TOKEN_LEN_MAX}")
            }
            Self::HostKey => f.write_str("the host's key is weak: it is no host's"),
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_refused_by_name() {
        assert_eq!(EndpointConfig::default().check(), Ok(()));
        let short = EndpointConfig { datagram_len_max: 576, ..EndpointConfig::default() };
        let error = short.check().expect_err("too short");
        assert_eq!(error.to_string(), "datagram_len_max is 576, the least is 1200");
        let token = Token { bytes: Vec::new(), secret: Secret::new([1; 32]) };
        let empty = EndpointConfig { token: Some(token), ..EndpointConfig::default() };
        let error = empty.check().expect_err("empty");
        assert_eq!(error.to_string(), "a token has 0 bytes, it may have 1 to 512");
    }
}
