//! Measurements. What they say is in BENCHMARKS.md.
//!
//! * `cargo bench -p moorline-bench`: times, by criterion. For reading; nothing is held to them.
//! * `--bin hold`: instructions by callgrind, held to the figures in `counts.toml`.
//! * `--bin count`: what `hold` runs under callgrind.
//! * `--bin memory`: the heap that an idle session costs on the native protocol.
//! * `--bin growth`: how long the logins take that make a table grow.
//! * `compare`, the default binary: servers beside the peers, on sockets: see [`compare`].
//! * `--bin latency`: latency under loss beside the peers, on virtual time: see [`latency`].
//!
//! All but these two look at one thing, made here: a [`Crowd`] of sessions on one host, or the same
//! on the native protocol, a [`NativeCrowd`].

pub mod compare;
pub mod latency;
mod native_crowd;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use moorline_link::memory::Memory;
use moorline_link::{Identity, Port, Time};
use moorline_session::{Host, HostConfig, HostEvent, Limits, LivenessPolicy, State};

pub use native_crowd::{Arrival, INPUT, NativeCrowd, STATE, WORD};

/// Frames of the memory transport. There is no client behind these sessions, only its words, so
/// that a million of them are made in seconds.
const HELLO: u8 = 1;
const LOGIN: u8 = 5;
const BEAT: u8 = 8;

/// The client's number for its only link.
const CONVERSATION: u32 = 1;

/// A host on the memory transport, and the sessions that were logged in there one by one. Each
/// comes from an address of its own and has a name of its own.
#[derive(Debug)]
pub struct Crowd {
    /// The host that is measured.
    pub host: Host<Memory>,
    /// What the host sent last.
    scratch: Vec<u8>,
}

impl Crowd {
    /// A host without sessions that lets everybody in.
    ///
    /// # Panics
    /// When `liveness` makes no sense.
    pub fn new(liveness: LivenessPolicy) -> Self {
        let limits = Limits {
            sessions_max: usize::MAX,
            login_time: Duration::from_secs(3_600),
            ..Limits::default()
        };
        let config = HostConfig { liveness, limits, ..HostConfig::default() };
        let host = Host::new(config, vec![Memory::new(1)], 1).expect("a sensible policy");
        Self { host, scratch: Vec::new() }
    }

    /// Logs these users in.
    ///
    /// # Panics
    /// When one of them is not logged in afterwards: the memory transport's frames have changed.
    pub fn log_in(&mut self, now: Time, users: Range<u32>) {
        let wanted = self.host.sessions().count(State::LoggedIn) + users.len();
        for user in users {
            self.arrive(now, user, HELLO, &[]);
            let name = name(user);
            let len = u32::try_from(name.len()).expect("a short name").to_le_bytes();
            self.arrive(now, user, LOGIN, &[&len, name.as_bytes()]);
            while let Some(event) = self.host.poll_event() {
                if let HostEvent::Login { session, .. } = event {
                    self.host.accept_login(now, session, None, Vec::new()).expect("it asked");
                }
            }
            self.send_all(now);
        }
        assert_eq!(self.host.sessions().count(State::LoggedIn), wanted);
    }

    /// A heartbeat of each of these users arrives, then all are answered; says how many events came
    /// of it.
    pub fn beat(&mut self, now: Time, users: Range<u32>) -> usize {
        for user in users {
            self.arrive(now, user, BEAT, &[&1_u32.to_le_bytes()]);
        }
        self.drain(now)
    }

    /// Takes all events, answering none, and all datagrams; says how many events there were.
    pub fn drain(&mut self, now: Time) -> usize {
        let events = std::iter::from_fn(|| self.host.poll_event()).count();
        self.send_all(now);
        events
    }

    fn arrive(&mut self, now: Time, user: u32, tag: u8, body: &[&[u8]]) {
        let mut frame = [0; 64];
        let head = [&[tag][..], &CONVERSATION.to_le_bytes()];
        let mut len = 0;
        for part in head.iter().chain(body) {
            frame[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        self.host.handle_datagram(now, (0, Port(0)), address(user), &frame[..len]);
    }

    fn send_all(&mut self, now: Time) {
        while self.host.poll_transmit(now, &mut self.scratch).is_some() {}
    }
}

/// Where a user comes from: no two share an address, as at a host on the internet.
pub fn address(user: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0a00_0000 | user), 40_000).into()
}

/// Who a user is.
///
/// # Panics
/// Never; the name is short enough.
pub fn identity(user: u32) -> Identity {
    Identity::new(name(user)).expect("a short name")
}

fn name(user: u32) -> String {
    format!("user-{user:07}")
}
