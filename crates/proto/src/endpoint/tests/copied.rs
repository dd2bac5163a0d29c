//! Somebody on the path copies a client's packets and sends them from an address of its own, ahead
//! of the client.

use super::*;
use moorline_link::Lane;

const COPIER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)), 666);
const BEAT: Duration = Duration::from_millis(20);

/// What the one on the path does, beside letting the client's packets through behind its copies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    No,
    /// What the host sends to it goes no further.
    Sends,
    /// What the host sends to it goes on to the client, as if from the host.
    SendsAndForwards,
}

struct Race {
    world: World,
    links: [LinkId; 2],
    copies: Copies,
    /// When copies arrive, and how long they are.
    copied: Vec<(Time, usize)>,
    sent: [u32; 2],
}

impl Race {
    fn new() -> Self {
        let mut world = World::new(config());
        let client = world.client(1, config());
        world.run(Duration::from_millis(200));
        let is_up = |event: &LinkEvent| match event {
            LinkEvent::Up { link, .. } => Some(*link),
            _ => None,
        };
        let at_host = world.host_events.iter().find_map(is_up).expect("it is up");
        let welcome = Control::LoginAccepted { server_tick: 0, payload: Vec::new() };
        world.host.control(world.now, at_host, &welcome).expect("it is up");
        world.run(Duration::from_millis(200));
        world.host_events.clear();
        world.client_events.clear();
        let links = [client, at_host];
        Self { world, links, copies: Copies::No, copied: Vec::new(), sent: [0; 2] }
    }

    /// Both sides send a message every 20 ms.
    fn run(&mut self, time: Duration) {
        let until = self.world.now + time;
        while self.world.now < until {
            for _ in 0..BEAT.as_millis() {
                self.world.step();
                self.copy();
                // Once it has answered, it is the client for all that the host can know.
                let was_believed = !self.moves().is_empty();
                assert!(was_believed || self.sent_to_copier() <= self.arrived_from_copier());
                self.world.now = self.world.now + Duration::from_millis(1);
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let World { now, host, clients, .. } = &mut self.world;
        let client = clients.get_mut(&address(1)).expect("a client");
        for (side, end) in [client, host].into_iter().enumerate() {
            let payload = [7; 300];
            let message = Outgoing {
                kind: 7,
                lane: Lane::ReliableOrdered,
                key: 0,
                payload: &payload,
                notice: None,
            };
            end.send(*now, self.links[side], message).expect("there is room");
            self.sent[side] += 1;
        }
    }

    /// Sees what was sent just now.
    fn copy(&mut self) {
        let arrives = self.world.now + RTT_HALF;
        let on_way = std::mem::take(&mut self.world.on_way);
        for sent in on_way {
            if sent.at == arrives && sent.to == HOST && self.copies != Copies::No {
                self.copied.push((arrives, sent.datagram.len()));
                self.world.on_way.push_back(OnWay { from: COPIER, ..sent.clone() });
            }
            let is_forwarded = sent.to == COPIER && self.copies == Copies::SendsAndForwards;
            let to = if is_forwarded { address(1) } else { sent.to };
            self.world.on_way.push_back(OnWay { to, ..sent });
        }
    }

    fn sent_to_copier(&self) -> usize {
        let to_copier = self.world.record.iter().filter(|sent| sent.to == COPIER);
        to_copier.map(|sent| sent.datagram.len()).sum()
    }

    fn arrived_from_copier(&self) -> usize {
        let arrived = self.copied.iter().filter(|(at, _)| *at <= self.world.now);
        arrived.map(|(_, len)| len).sum()
    }

    /// Where the host took the client to be, one after the other.
    fn moves(&self) -> Vec<SocketAddr> {
        let moved = |event: &LinkEvent| match event {
            LinkEvent::AddressChanged { address, .. } => Some(*address),
            _ => None,
        };
        self.world.host_events.iter().filter_map(moved).collect()
    }

    /// How many messages the client and the host got.
    fn got(&self) -> [u32; 2] {
        [&self.world.client_events, &self.world.host_events].map(|events| {
            let messages = events.iter().filter(|event| matches!(event, LinkEvent::Message { .. }));
            messages.count() as u32
        })
    }
}

#[test]
fn a18_who_copies_packets_gets_no_more_bytes_than_it_sent_and_not_the_clients_place() {
    let mut race = Race::new();
    race.copies = Copies::Sends;
    race.run(Duration::from_secs(5));
    assert!(race.sent_to_copier() > 0, "it is asked who it is");
    race.copies = Copies::No;
    race.run(Duration::from_secs(1));
    assert_eq!(race.moves(), []);
    let [to_client, to_host] = race.got();
    // The last messages are still on their way.
    assert!(to_client + 2 >= race.sent[1] && to_host + 2 >= race.sent[0], "{:?}", race.got());
}

#[test]
fn a18_who_takes_the_clients_place_by_forwarding_loses_it_three_round_trips_after_it_stops() {
    let mut race = Race::new();
    race.copies = Copies::SendsAndForwards;
    race.run(Duration::from_secs(1));
    assert_eq!(race.moves(), [COPIER], "it is on the path, as the answer shows");
    race.copies = Copies::No;
    // Seven beats: less than three round trips.
    race.run(BEAT * 7);
    assert_eq!(race.moves(), [COPIER, address(1)]);
    race.run(Duration::from_secs(2));
    assert_eq!(race.moves(), [COPIER, address(1)]);
    let [to_client, to_host] = race.got();
    assert!(to_client + 2 >= race.sent[1] && to_host + 2 >= race.sent[0], "{:?}", race.got());
}
