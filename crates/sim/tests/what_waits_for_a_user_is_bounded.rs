//! What is kept for a user who was lost is bounded in bytes and in time. When a bound is passed the
//! host is told what is given up, and the user comes back without a login and is told of the gap.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{Delivery, Lane, Outgoing, Port, Reason, SendError, Time};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig};
use moorline_session::{
    Dialer, DialerConfig, DialerEvent, Event, EventKind, Gap, Host, HostConfig, HostEvent, Login,
    SessionId, State,
};

const HOST: ([u8; 4], u16) = ([10, 0, 0, 1], 7_777);
const KIND: u16 = 1;
/// Longer than the silence that is borne.
const SILENCE: Duration = Duration::from_secs(7);

struct User {
    dialer: Dialer<Endpoint>,
    at: SocketAddr,
    is_cut: bool,
    told: Vec<Event>,
    heard: usize,
}

struct World {
    now: Time,
    host: Host<Endpoint>,
    told: Vec<Event>,
    users: [User; 2],
}

fn delivery() -> Delivery {
    Delivery::new().with(KIND, Lane::ReliableOrdered)
}

fn of(told: &[Event], kind: EventKind) -> Option<&Event> {
    told.iter().find(|event| event.kind == kind)
}

impl World {
    fn new(native: &EndpointConfig) -> Self {
        let now = Time::from_millis(1_000);
        let key = HostKey::new(Secret::new([7; Secret::LEN]));
        let config = HostConfig { delivery: delivery(), ..HostConfig::default() };
        let config = HostConfig { keep_time: Duration::from_secs(600), ..config };
        let endpoint = Endpoint::host(native.clone(), &key, Secret::new([8; Secret::LEN]));
        let host = Host::new(config, vec![endpoint.expect("it can work")], 1).expect("it can work");
        let users = [1_u8, 2].map(|number| {
            let identity = vec![b'a' + number];
            let login = Some(Login { identity, payload: Vec::new() });
            let config = DialerConfig { login, delivery: delivery(), ..DialerConfig::default() };
            let entropy = Secret::new([20 + number; Secret::LEN]);
            let endpoint = Endpoint::client(EndpointConfig::default(), key.public(), entropy);
            let endpoint = endpoint.expect("it can work");
            let mut dialer = Dialer::new(now, config, endpoint, 3).expect("it can work");
            dialer.connect(now, HOST.into()).expect("it never was anywhere");
            let at = SocketAddr::from(([10, 0, 1, number], 5_000));
            User { dialer, at, is_cut: false, told: Vec::new(), heard: 0 }
        });
        let mut world = Self { now, host, told: Vec::new(), users };
        world.run(Duration::from_secs(2));
        assert_eq!(world.host.sessions().count(State::LoggedIn), 2);
        world
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + Duration::from_millis(5);
            self.turn();
        }
    }

    fn turn(&mut self) {
        let (now, mut datagram) = (self.now, Vec::new());
        self.host.handle_timeout(now);
        for user in &mut self.users {
            user.dialer.handle_timeout(now);
            while user.dialer.poll_transmit(now, &mut datagram).is_some() {
                if !user.is_cut {
                    self.host.handle_datagram(now, (0, Port(0)), user.at, &datagram);
                }
            }
        }
        while let Some(event) = self.host.poll_event() {
            match event {
                HostEvent::Login { session, .. } => {
                    self.host.accept_login(now, session, None, Vec::new()).expect("it waits");
                }
                HostEvent::Session(event) => self.told.push(event),
                _ => {}
            }
        }
        while let Some((_, to)) = self.host.poll_transmit(now, &mut datagram) {
            let user = self.users.iter_mut().find(|user| user.at == to.to && !user.is_cut);
            if let Some(user) = user {
                user.dialer.handle_datagram(now, Port(0), HOST.into(), &datagram);
            }
        }
        for user in &mut self.users {
            while let Some(event) = user.dialer.poll_event() {
                match event {
                    DialerEvent::Session(event) => user.told.push(event),
                    DialerEvent::Message { .. } => user.heard += 1,
                    _ => {}
                }
            }
        }
    }

    /// Both users are lost, the first one first.
    fn lose_both(&mut self) {
        for user in 0..2 {
            self.users[user].is_cut = true;
            self.run(Duration::from_millis(500));
        }
        self.run(SILENCE);
        assert_eq!(self.host.sessions().count(State::ReconnectPending), 2);
        self.told.clear();
        self.users.iter_mut().for_each(|user| user.told.clear());
    }

    fn session(&self, user: usize) -> SessionId {
        let here =
            |session: &&moorline_session::Session| session.address() == Some(self.users[user].at);
        self.host.sessions().iter().find(here).expect("it is kept").id()
    }

    fn send(&mut self, user: usize, len: usize) -> Result<(), SendError> {
        let (session, payload) = (self.session(user), vec![0; len]);
        let lane = Lane::ReliableOrdered;
        let message = Outgoing { kind: KIND, lane, key: 0, payload: &payload, notice: None };
        self.host.send(self.now, session, message)
    }

    /// What is lost of the first user's is told to both sides, and it needs no login.
    fn assert_told(&mut self, lost: u64, reason: &Reason) {
        self.turn();
        let gap = Some(Gap { unsettled: Some([lost, 0]) });
        let told = of(&self.told, EventKind::ContinuityLost).expect("the host is told");
        assert_eq!((told.session, told.reason.as_ref()), (self.session(0), Some(reason)));
        assert_eq!((told.gap.as_deref().copied(), told.to), (gap, State::ReconnectPending));
        assert_eq!(self.send(0, 10), Err(SendError::NotUp), "nothing more is taken");
        self.users[0].is_cut = false;
        self.run(Duration::from_secs(30));
        let user = &self.users[0];
        let back = of(&user.told, EventKind::Resumed).expect("it is back");
        assert_eq!((&back.reason, back.to), (&Some(Reason::Forgotten), State::LoggedIn));
        assert_eq!(back.gap.as_deref().copied(), Some(Gap { unsettled: Some([0, 0]) }));
        assert_eq!(of(&user.told, EventKind::LoginStarted), None);
        let back = of(&self.told, EventKind::Resumed).expect("it is back");
        assert_eq!(back.gap, None, "told before");
        self.send(0, 10).expect("it goes on");
        self.run(Duration::from_secs(1));
        assert_eq!(self.users[0].heard, 1);
    }
}

#[test]
fn in_bytes_the_user_who_is_kept_for_longest_makes_room() {
    let mut world =
        World::new(&EndpointConfig { keep_bytes_max: 4_000, ..EndpointConfig::default() });
    world.lose_both();
    for _ in 0..2 {
        world.send(0, 1_000).expect("there is room");
    }
    world.send(1, 1_000).expect("there is room");
    world.turn();
    assert_eq!(of(&world.told, EventKind::ContinuityLost), None, "so far");
    world.send(1, 1_000).expect("the other one makes room");
    world.assert_told(2, &Reason::KeptTooMuch);
    world.users[1].is_cut = false;
    world.run(Duration::from_secs(30));
    let back = of(&world.users[1].told, EventKind::Resumed).expect("it is back");
    assert_eq!((&back.gap, world.users[1].heard), (&None, 2), "nothing of the other's is lost");
}

#[test]
fn in_time_nothing_is_kept_for_longer_than_the_setting() {
    let keep_time = Duration::from_secs(60);
    let mut world = World::new(&EndpointConfig { keep_time, ..EndpointConfig::default() });
    world.lose_both();
    world.send(0, 100).expect("there is room");
    world.run(keep_time - SILENCE);
    assert_eq!(of(&world.told, EventKind::ContinuityLost), None, "so far");
    world.run(SILENCE);
    world.assert_told(1, &Reason::KeepExpired(keep_time));
}
