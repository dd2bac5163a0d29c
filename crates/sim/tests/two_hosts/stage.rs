//! The model's devices and hosts as they really are, on virtual time and over paths that carry as
//! many datagrams as an action says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{Port, Time};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig};
use moorline_session::{
    Dialer, DialerConfig, DuplicatePolicy, Host, HostConfig, HostEvent, Jitter, Limits, Login,
    ReconnectPolicy, Redirect, Session, State as SessionState,
};

use super::model::{A, Action, B, Belief, DEVICES, Done, State, WHOLE};

const DELAY: Duration = Duration::from_millis(1);
/// Long enough for a dial, and too short to be noticed as a silence.
const MOMENT: Duration = Duration::from_millis(100);
/// When a host has its users go elsewhere; who comes later does not dial there by themselves.
const WITHIN: Duration = Duration::from_millis(100);
/// Until it waits no more for who does not answer.
const HAND_OVER: Duration = Duration::from_millis(1_200);
/// Longer than the timeout, an attempt and a link that is half open.
const SILENCE: Duration = Duration::from_secs(7);
const KEEP_TIME: Duration = Duration::from_secs(100);
/// Nobody dials by themselves within a walk.
const NEVER: Duration = Duration::from_secs(100_000);

struct Device {
    dialer: Dialer<Endpoint>,
    at: SocketAddr,
    is_cut: bool,
    /// How many datagrams its path to the host that it dialed still carries, if that is bounded.
    left: Option<u8>,
    /// How many it will carry when it dials by itself.
    left_then: Option<u8>,
}

struct OnWay {
    at: Time,
    from: SocketAddr,
    to: SocketAddr,
    datagram: Vec<u8>,
}

/// Both hosts, all devices, and what is on its way between them.
pub(crate) struct Stage {
    now: Time,
    hosts: [Host<Endpoint>; 2],
    devices: Vec<Device>,
    on_way: VecDeque<OnWay>,
    seed: u64,
    /// For whoever has to find out what went wrong.
    walked: Vec<Action>,
}

fn secret(seed: u64) -> Secret {
    let mut bytes = [0x5a; Secret::LEN];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Secret::new(bytes)
}

fn host_at(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + host as u8], 7_777))
}

impl Stage {
    pub(crate) fn new(seed: u64) -> Self {
        let now = Time::from_millis(1_000);
        let key = HostKey::new(secret(1));
        let native = EndpointConfig::default();
        let hosts = [A, B].map(|number| {
            let config = HostConfig {
                keep_time: KEEP_TIME,
                duplicate: DuplicatePolicy::Supersede,
                limits: Limits::default(),
                ..HostConfig::default()
            };
            let entropy = secret((seed << 8) | (1 + number as u64));
            let endpoint = Endpoint::host(native.clone(), &key, entropy).expect("it can work");
            Host::new(config, vec![endpoint], (seed << 8) | number as u64).expect("it can work")
        });
        let devices = (0..DEVICES).map(|number| {
            let reconnect = ReconnectPolicy {
                first_delay: NEVER,
                delay_max: NEVER,
                jitter: Jitter::None,
                ..ReconnectPolicy::default()
            };
            let login = Some(Login { identity: b"ann".to_vec(), payload: Vec::new() });
            let config = DialerConfig { reconnect, login, ..DialerConfig::default() };
            let entropy = secret((seed << 8) | (16 + number as u64));
            let endpoint = Endpoint::client(native.clone(), key.public(), entropy);
            let endpoint = endpoint.expect("it can work");
            let dialer = Dialer::new(now, config, endpoint, seed).expect("it can work");
            let at = SocketAddr::from(([10, 0, 1, 1 + number as u8], 5_000));
            Device { dialer, at, is_cut: false, left: None, left_then: None }
        });
        let devices = devices.collect();
        Self { now, hosts, devices, on_way: VecDeque::new(), seed, walked: Vec::new() }
    }

    /// Does what an action says, and holds what came of it against the model's state.
    pub(crate) fn act(&mut self, action: Action, expected: &State, done: Done) {
        let resumed_before = self.resumed();
        self.walked.push(action);
        match action {
            Action::Dial(device, arrive) => {
                let own = &mut self.devices[device];
                own.is_cut = false;
                own.left = (arrive < WHOLE).then_some(arrive);
                let (now, dialer) = (self.now, &mut own.dialer);
                let is_first = dialer.session().address().is_none();
                if is_first {
                    dialer.connect(now, host_at(A)).expect("it never was anywhere");
                } else {
                    dialer.reconnect(now).expect("it is out");
                }
                self.run(MOMENT);
                let own = &mut self.devices[device];
                own.is_cut = own.left.take().is_some();
            }
            Action::Cut(device) => self.devices[device].is_cut = true,
            Action::Leave(device) => {
                self.devices[device].dialer.close(self.now);
                self.run(MOMENT);
            }
            Action::Drain(arrive) => {
                for device in &mut self.devices {
                    device.left_then = (arrive < WHOLE).then_some(arrive);
                }
                let redirect = Redirect { to: host_at(B), within: WITHIN };
                self.hosts[A].drain(self.now, redirect);
                self.run(HAND_OVER);
                for device in &mut self.devices {
                    device.left_then = None;
                    device.is_cut |= device.left.take().is_some();
                }
            }
            Action::Silence => self.run(SILENCE),
            Action::Expire => self.run(SILENCE + KEEP_TIME),
        }
        self.compare(expected);
        let mut resumed = resumed_before;
        if let Some(host) = done.resumed_at {
            resumed[host] += 1;
        }
        let story = self.story();
        assert_eq!(self.resumed(), resumed, "goes on without a login elsewhere {story}");
    }

    fn story(&self) -> String {
        format!("in walk {}: {:?}", self.seed, self.walked)
    }

    /// How many sessions host B took over from host A.
    pub(crate) fn handed_over(&self) -> u64 {
        self.hosts[B].counters().taken_over
    }

    fn resumed(&self) -> [u64; 2] {
        [A, B].map(|host| self.hosts[host].counters().resumed)
    }

    fn compare(&self, expected: &State) {
        let story = self.story();
        for (number, (device, model)) in self.devices.iter().zip(&expected.devices).enumerate() {
            let session = device.dialer.session();
            let is_in = session.state() == SessionState::LoggedIn;
            let at = session.address().filter(|_| is_in);
            let expected_at = match model.belief {
                Belief::In(host) => Some(host_at(usize::from(host))),
                Belief::Out | Belief::Busy => None,
            };
            assert_eq!(at, expected_at, "device {number} {story}: {session:?}");
            assert_eq!(device.is_cut, model.is_cut, "device {number} {story}");
        }
        for (number, (host, model)) in self.hosts.iter().zip(&expected.hosts).enumerate() {
            let users = |session: &&Session| {
                let state = session.state();
                matches!(state, SessionState::LoggedIn | SessionState::ReconnectPending)
            };
            let there: Vec<_> = host.sessions().iter().filter(users).collect();
            let found = there
                .iter()
                .map(|session| (session.address(), session.state() == SessionState::LoggedIn));
            let model = model.map(|session| {
                (Some(self.devices[usize::from(session.owner)].at), session.is_living)
            });
            assert!(found.eq(model), "host {number} {story}: {there:?}, not {model:?}");
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.turn();
            let next = self.on_way.front().map(|on_way| on_way.at);
            let hosts = self.hosts.iter().filter_map(Host::poll_timeout);
            let devices = self.devices.iter().filter_map(|device| device.dialer.poll_timeout());
            let next = next.into_iter().chain(hosts).chain(devices).min().unwrap_or(until);
            // A deadline that has passed is met in the next turn.
            let next = next.max(self.now + Duration::from_micros(50));
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
        }
    }

    /// Everything that is due now, everywhere.
    fn turn(&mut self) {
        let now = self.now;
        while self.on_way.front().is_some_and(|on_way| on_way.at <= now)
            && let Some(OnWay { from, to, datagram, .. }) = self.on_way.pop_front()
        {
            if let Some(host) = [A, B].into_iter().find(|host| host_at(*host) == to) {
                self.hosts[host].handle_datagram(now, (0, Port(0)), from, &datagram);
            } else if let Some(device) = self.devices.iter_mut().find(|device| device.at == to) {
                device.dialer.handle_datagram(now, Port(0), from, &datagram);
            }
        }
        let mut sent = Vec::new();
        for (number, host) in self.hosts.iter_mut().enumerate() {
            host.handle_timeout(now);
            while let Some(event) = host.poll_event() {
                if let HostEvent::Login { session, .. } = event {
                    host.accept_login(now, session, None, Vec::new()).ok();
                }
            }
            let mut datagram = Vec::new();
            while let Some((_, transmit)) = host.poll_transmit(now, &mut datagram) {
                sent.push((host_at(number), transmit.to, datagram.clone()));
            }
        }
        for device in &mut self.devices {
            device.dialer.handle_timeout(now);
            if device.dialer.session().state() == SessionState::Reconnecting {
                device.left = device.left_then.take().or(device.left);
            }
            while device.dialer.poll_event().is_some() {}
            let mut datagram = Vec::new();
            while let Some(transmit) = device.dialer.poll_transmit(now, &mut datagram) {
                sent.push((device.at, transmit.to, datagram.clone()));
            }
        }
        for (from, to, datagram) in sent {
            self.post(from, to, datagram);
        }
    }

    /// Puts a datagram on its way, if the path of its device carries it.
    fn post(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let device = self.devices.iter_mut().find(|device| device.at == from || device.at == to);
        let device = device.expect("hosts do not talk to each other");
        if device.is_cut || device.left == Some(0) {
            return;
        }
        let dialed = device.dialer.session().address();
        if [from, to].map(Some).contains(&dialed) {
            device.left = device.left.map(|left| left - 1);
        }
        self.on_way.push_back(OnWay { at: self.now + DELAY, from, to, datagram });
    }
}
