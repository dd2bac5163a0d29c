//! Lanes go over from a link that died, or that is taken for living still, to the next one.

use super::*;
use crate::crypto::Ticket;
use moorline_link::{Lane, Resumes};

/// A link dies after two seconds of silence.
fn short() -> EndpointConfig {
    EndpointConfig {
        idle: Duration::from_secs(2),
        keep_alive: Duration::from_millis(500),
        ..config()
    }
}

/// A host and a client, and what each of them sent and got.
struct Talk {
    world: World,
    links: [LinkId; 2],
    sent: [u32; 2],
    got: [Vec<u32>; 2],
    /// How often the lanes began anew.
    renewed: [u32; 2],
}

const CLIENT: usize = 0;
const AT_HOST: usize = 1;

impl Talk {
    fn new(config: &EndpointConfig) -> Self {
        let mut world = World::new(config.clone());
        let link = world.client(1, config.clone());
        world.run(Duration::from_millis(200));
        let Some(LinkEvent::Up { link: at_host, .. }) =
            world.host_events.iter().find(|event| matches!(event, LinkEvent::Up { .. }))
        else {
            panic!("it is up")
        };
        let at_host = *at_host;
        let mut talk = Self {
            world,
            links: [link, at_host],
            sent: [0; 2],
            got: Default::default(),
            renewed: [0; 2],
        };
        let welcome = Control::LoginAccepted { server_tick: 0, payload: Vec::new() };
        talk.world.host.control(talk.world.now, at_host, &welcome).expect("it is up");
        talk.world.run(Duration::from_millis(200));
        talk.world.host_events.clear();
        talk.world.client_events.clear();
        talk
    }

    fn client(&mut self) -> &mut Endpoint {
        self.world.clients.get_mut(&address(1)).expect("a client")
    }

    /// Each side sends a numbered message on two lanes.
    fn send(&mut self) {
        let now = self.world.now;
        for side in [CLIENT, AT_HOST] {
            let link = self.links[side];
            let payload = self.sent[side].to_be_bytes();
            let payload = [&payload[..], &[side as u8; 300]].concat();
            let message = |lane| Outgoing {
                kind: 7,
                lane,
                key: 0,
                payload: &payload,
                notice: Some(self.sent[side].into()),
            };
            let (ordered, unordered) =
                (message(Lane::ReliableOrdered), message(Lane::ReliableUnordered));
            let end = if side == CLIENT { self.client() } else { &mut self.world.host };
            end.send(now, link, ordered).expect("there is room");
            end.send(now, link, unordered).expect("there is room");
            self.sent[side] += 1;
        }
    }

    fn run(&mut self, time: Duration) {
        self.world.run(time);
        let taken = [
            std::mem::take(&mut self.world.client_events),
            std::mem::take(&mut self.world.host_events),
        ];
        for (side, events) in [CLIENT, AT_HOST].into_iter().zip(taken) {
            for event in events {
                match event {
                    LinkEvent::Message { link, message } => {
                        assert!(link == self.links[side], "{link:?}");
                        let number = message.payload.first_chunk().expect("a number");
                        self.got[side].push(u32::from_be_bytes(*number));
                    }
                    LinkEvent::Up { link, resumes, .. } => {
                        let resumes = resumes.expect("it goes on");
                        assert_eq!(resumes.link(), self.links[side]);
                        if let Resumes::Peer(_) = resumes {
                            self.renewed[side] += 1;
                            self.got[side].clear();
                            let end =
                                if side == CLIENT { self.client() } else { &mut self.world.host };
                            end.release(Time::ZERO, resumes.link());
                        }
                        self.links[side] = link;
                    }
                    _ => {}
                }
            }
        }
    }

    /// The client looks for the host again.
    fn dial(&mut self) -> LinkId {
        let (now, link) = (self.world.now, self.links[CLIENT]);
        self.client().dial(now, HOST, Some(link)).expect("a client dials")
    }

    /// All came, on each lane once and on the ordered one in order.
    fn assert_all_came(&mut self) {
        self.run(Duration::from_secs(2));
        for side in [CLIENT, AT_HOST] {
            let mut expected: Vec<u32> = (0..self.sent[1 - side]).flat_map(|it| [it, it]).collect();
            let mut got = self.got[side].clone();
            got.sort_unstable();
            expected.sort_unstable();
            assert_eq!(got, expected, "side {side}");
        }
    }

    /// The host's process dies and is started again, with what it saved.
    fn restart(&mut self, config: &EndpointConfig, saved: &[u8], random: u8) {
        let host = Endpoint::host(config.clone(), &host_key(), secret(random));
        self.world.host = host.expect("it can work");
        let restored = self.world.host.restore(self.world.now, address(1), saved);
        self.links[AT_HOST] = restored.expect("there is room");
    }

    fn is_kept(&mut self, side: usize) -> bool {
        let link = self.links[side];
        let end = if side == CLIENT { self.client() } else { &mut self.world.host };
        end.keeps(link)
    }
}

#[test]
fn what_was_on_its_way_when_both_sides_lost_the_link_arrives_once() {
    let mut talk = Talk::new(&short());
    for _ in 0..20 {
        talk.send();
        talk.run(Duration::from_millis(10));
    }
    talk.world.is_cut = true;
    for _ in 0..20 {
        talk.send();
        talk.run(Duration::from_millis(10));
    }
    talk.run(Duration::from_secs(4));
    assert!(talk.is_kept(CLIENT) && talk.is_kept(AT_HOST));
    // Both go on talking to who is not there.
    talk.send();
    talk.world.is_cut = false;
    talk.dial();
    talk.run(Duration::from_millis(300));
    talk.send();
    talk.assert_all_came();
    assert_eq!(talk.world.host.links.len(), 1, "the earlier link is gone");
    assert_eq!(talk.client().links.len(), 1);
    let Side::Host(host) = &talk.world.host.side else { panic!("a host") };
    assert_eq!((host.tickets.len(), talk.world.host.kept_bytes), (1, 0));
}

/// Nobody waits for a ghost: the host thinks that the link lives when its client comes anew.
#[test]
fn a16_a_proven_newer_link_takes_over_from_one_that_the_host_takes_for_living() {
    let mut talk = Talk::new(&short());
    for round in 0..30 {
        talk.send();
        talk.run(Duration::from_millis(10));
        if round % 5 == 4 {
            let (now, link) = (talk.world.now, talk.links[CLIENT]);
            assert!(talk.client().keep(now, link));
            talk.dial();
            talk.send();
            talk.run(Duration::from_millis(130));
        }
    }
    talk.assert_all_came();
    assert_eq!(talk.world.host.links.len(), 1);
    let (key, _) = talk.world.host.links.iter().next().expect("a link");
    let ticket = talk.world.host.links.get(key).and_then(|entry| entry.ticket.as_ref());
    assert_eq!(ticket.map(|ticket| ticket.epoch()), Some(6), "each time the epoch rises");
}

/// A hello that was recorded moves nothing: its answer is of no use to who repeats it.
#[test]
fn a15_a_recorded_request_moves_no_lanes() {
    let mut talk = Talk::new(&short());
    let (now, link) = (talk.world.now, talk.links[CLIENT]);
    assert!(talk.client().keep(now, link));
    talk.world.is_cut = true;
    talk.world.record.clear();
    talk.dial();
    talk.run(Duration::from_millis(10));
    let hello = talk.world.first_hello();
    let thief = address(66);
    for _ in 0..3 {
        let now = talk.world.now;
        talk.world.host.handle_datagram(now, Port(0), thief, &hello.datagram);
        talk.run(Duration::from_millis(20));
    }
    assert!(talk.world.host.links.get(talk.links[AT_HOST].0).is_some_and(|it| !it.is_parted));
    talk.world.is_cut = false;
    talk.send();
    talk.run(Duration::from_secs(1));
    talk.assert_all_came();
    // After that it is worth nothing at all.
    let now = talk.world.now + Duration::from_secs(60);
    talk.world.now = now;
    talk.world.host.handle_timeout(now);
    talk.world.host.handle_datagram(now, Port(0), thief, &hello.datagram);
    let asked = std::iter::from_fn(|| talk.world.host.poll_event())
        .find(|event| matches!(event, LinkEvent::Asked { .. }));
    assert!(matches!(asked, Some(LinkEvent::Asked { resumes: None, .. })), "{asked:?}");
}

/// Two requests with one ticket: the one whose client speaks first has the lanes.
#[test]
fn a16_of_two_links_that_ask_for_the_same_lanes_one_gets_them() {
    let mut talk = Talk::new(&short());
    talk.send();
    let (now, link) = (talk.world.now, talk.links[CLIENT]);
    assert!(talk.client().keep(now, link));
    talk.world.is_cut = true;
    let first = talk.dial();
    talk.run(Duration::from_millis(10));
    let hello = talk.world.record.last().cloned().expect("a hello");
    let now = talk.world.now;
    talk.client().abandon(now, first);
    // The answer to the first never comes, but the host holds it ready.
    talk.world.host.handle_datagram(now, Port(0), hello.from, &hello.datagram);
    talk.world.is_cut = false;
    talk.dial();
    talk.send();
    talk.assert_all_came();
    assert_eq!(talk.world.host.counts.superseded, 0);
    talk.run(Duration::from_secs(6));
    assert_eq!(talk.world.host.links.len(), 1);
}

#[test]
fn a_host_that_knows_nothing_says_so_and_the_client_logs_in_anew() {
    let mut talk = Talk::new(&short());
    talk.send();
    talk.run(Duration::from_millis(100));
    talk.world.host = Endpoint::host(short(), &host_key(), secret(77)).expect("it can work");
    talk.world.host.handle_timeout(talk.world.now);
    talk.send_from_client();
    talk.world.run(Duration::from_millis(100));
    let is_lost =
        |event: &LinkEvent| matches!(event, LinkEvent::Lost { reason: Reason::Forgotten, .. });
    assert!(talk.world.client_events.iter().any(is_lost));
    assert!(talk.is_kept(CLIENT));
    talk.world.client_events.clear();
    talk.dial();
    talk.world.run(Duration::from_millis(300));
    let up = talk.world.client_events.iter().find(|it| matches!(it, LinkEvent::Up { .. }));
    assert!(matches!(up, Some(LinkEvent::Up { resumes: None, .. })), "{up:?}");
    // It told the new host what a link takes that begins, and not what the earlier one took in all.
    let key = talk.world.host.links.iter().next().map(|(key, _)| key).expect("a link");
    let outbox = talk.world.host.links.get(key).and_then(Entry::link).expect("up").outbox();
    let takes = config().data_max - crate::wire::MESSAGE_CHARGE;
    assert_eq!(outbox.len_max(crate::wire::Place::Unordered) as u64, takes);
    let (now, earlier) = (talk.world.now, talk.links[CLIENT]);
    assert!(talk.is_kept(CLIENT), "its owner may want to know what it held");
    talk.client().release(now, earlier);
    assert_eq!(talk.client().links.len(), 1);
}

fn lanes_lost(world: &World) -> Vec<(LinkId, [u64; 2], Reason)> {
    let events = world.host_events.iter().filter_map(|event| match event {
        LinkEvent::LanesLost { link, unsettled, reason } => {
            Some((*link, *unsettled, reason.clone()))
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn what_is_kept_is_bounded_in_time_and_bytes() {
    let tight = EndpointConfig { keep_time: Duration::from_secs(5), ..short() };
    let mut talk = Talk::new(&tight);
    talk.world.is_cut = true;
    talk.run(Duration::from_secs(4));
    assert!(talk.is_kept(AT_HOST));
    talk.send();
    let link = talk.links[AT_HOST];
    talk.world.run(Duration::from_secs(4));
    let reason = Reason::KeepExpired(tight.keep_time);
    assert_eq!(lanes_lost(&talk.world), [(link, [1, 1], reason)]);
    assert!(talk.is_kept(AT_HOST), "its peer is known still");
    talk.run(Duration::from_secs(5));
    assert!(!talk.is_kept(AT_HOST) && talk.world.host.links.is_empty());
    assert_eq!(talk.world.host.unsettled(link), None, "nobody knows it any more");
    let Side::Host(host) = &talk.world.host.side else { panic!("a host") };
    assert!(host.tickets.is_empty());
    assert_eq!(talk.world.host.wheel.len(), 0);

    let tight = EndpointConfig { keep_bytes_max: 2_000, ..short() };
    let mut world = World::new(tight);
    world.client(1, short());
    world.client(2, short());
    world.run(Duration::from_millis(200));
    let links: Vec<LinkId> = world.host.links.iter().map(|(key, _)| LinkId(key)).collect();
    links.iter().for_each(|link| assert!(world.host.keep(world.now, *link)));
    let payload = &[0; 1_500];
    let (kind, lane) = (7, Lane::ReliableOrdered);
    let message = Outgoing { kind, lane, key: 0, payload, notice: None };
    for link in &links {
        world.host.send(world.now, *link, message).expect("within the link's own bound");
    }
    world.run(Duration::from_millis(1));
    assert_eq!(lanes_lost(&world), [(links[0], [1, 0], Reason::KeptTooMuch)], "the longest kept");
    assert_eq!(world.counter("native_kept_evicted"), 1);
    let unsettled = [links[0], links[1]].map(|link| world.host.unsettled(link));
    assert_eq!(unsettled, [Some([0, 0]), Some([1, 0])]);
    links.iter().for_each(|link| world.host.release(world.now, *link));
    assert_eq!((world.host.links.len(), world.host.kept_bytes), (0, 0));
}

impl Talk {
    fn send_from_client(&mut self) {
        let (now, link) = (self.world.now, self.links[CLIENT]);
        let (kind, lane) = (7, Lane::ReliableOrdered);
        let message = Outgoing { kind, lane, key: 0, payload: b"hello?", notice: None };
        self.client().send(now, link, message).expect("it seems to be up");
    }
}

#[test]
fn a_host_that_was_started_again_knows_its_peer_and_both_begin_empty_lanes() {
    let mut talk = Talk::new(&short());
    for _ in 0..20 {
        talk.send();
        talk.run(Duration::from_millis(10));
    }
    for (round, random) in [(1, 77), (2, 78)] {
        talk.run(Duration::from_millis(500));
        let saved = talk.world.host.save(talk.links[AT_HOST]).expect("it can be saved");
        talk.restart(&short(), &saved, random);
        assert!(talk.world.host.restore(talk.world.now, address(1), &saved).is_none(), "twice");
        // One goes out to nobody, one waits at the host.
        talk.sent = [0; 2];
        talk.send();
        talk.run(Duration::from_millis(700));
        assert!(talk.is_kept(CLIENT), "a reset tells it");
        let link = talk.links[CLIENT];
        assert_eq!(talk.client().unsettled(link), Some([1, 1]));
        talk.dial();
        talk.run(Duration::from_millis(300));
        assert_eq!(talk.renewed, [round, round]);
        // Of the first message only the host's came.
        assert_eq!((&talk.got[CLIENT][..], &talk.got[AT_HOST][..]), (&[0, 0][..], &[][..]));
        talk.sent = [0, 1];
        for _ in 0..20 {
            talk.send();
            talk.run(Duration::from_millis(10));
        }
        talk.assert_all_came();
        assert_eq!((talk.world.host.links.len(), talk.client().links.len()), (1, 1));
    }
}

#[test]
fn a16_what_an_earlier_run_saved_of_an_earlier_link_is_worth_nothing_after_the_next() {
    let mut talk = Talk::new(&short());
    let first = talk.world.host.save(talk.links[AT_HOST]).expect("it can be saved");
    talk.restart(&short(), &first, 77);
    talk.send();
    talk.run(Duration::from_millis(700));
    talk.dial();
    talk.run(Duration::from_millis(300));
    assert_eq!(talk.renewed, [1, 1]);
    // Somebody puts the file of before in the place of the one that is there.
    talk.restart(&short(), &first, 78);
    talk.send();
    talk.run(Duration::from_millis(700));
    talk.world.client_events.clear();
    let (now, link) = (talk.world.now, talk.links[CLIENT]);
    talk.client().dial(now, HOST, Some(link)).expect("a client dials");
    talk.world.run(Duration::from_millis(300));
    let up = talk.world.client_events.iter().find(|it| matches!(it, LinkEvent::Up { .. }));
    assert!(matches!(up, Some(LinkEvent::Up { resumes: None, .. })), "{up:?}");
    assert!(talk.world.host.restore(talk.world.now, address(1), b"nonsense").is_none());
}

/// A second host with the same key, in the place of the first one, and the same time of day.
fn move_to_another_host(talk: &mut Talk, config: &EndpointConfig) {
    let host = Endpoint::host(config.clone(), &host_key(), secret(99));
    talk.world.host = host.expect("it can work");
}

fn hand_over(talk: &mut Talk) {
    let (now, link) = (talk.world.now, talk.links[AT_HOST]);
    talk.world.host.hand_over(now, link, b"ada").expect("it is up");
    let moved = Refusal::moved(HOST).retry_after(Duration::ZERO);
    talk.world.host.close(now, link, Some(&moved));
    talk.world.run(Duration::from_millis(300));
    talk.world.client_events.clear();
    talk.world.host_events.clear();
}

fn passed_on(talk: &Talk) -> Vec<(LinkId, Vec<u8>)> {
    let events = talk.world.host_events.iter().filter_map(|event| match event {
        LinkEvent::HandedOver { link, peer, .. } => Some((*link, peer.clone())),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_client_that_is_handed_over_is_known_to_another_host_with_the_same_key() {
    let mut talk = Talk::new(&short());
    hand_over(&mut talk);
    assert!(talk.is_kept(CLIENT));
    move_to_another_host(&mut talk, &short());
    talk.dial();
    talk.world.run(Duration::from_millis(300));
    let known = passed_on(&talk);
    let [(link, peer)] = known.as_slice() else { panic!("{known:?}") };
    assert_eq!(peer, b"ada");
    let is_up = |events: &[LinkEvent], link| {
        let up = events.iter().find(|it| matches!(it, LinkEvent::Up { .. }));
        matches!(up, Some(LinkEvent::Up { resumes: Some(Resumes::Peer(it)), .. }) if *it == link)
    };
    assert!(is_up(&talk.world.host_events, *link), "{:?}", talk.world.host_events);
    assert!(is_up(&talk.world.client_events, talk.links[CLIENT]), "{:?}", talk.world.client_events);
}

#[test]
fn a15_a_pass_is_of_use_once_in_time_and_to_whom_it_was_given() {
    let cases = [("in time", true), ("late", false), ("early", false), ("stolen", false)];
    for (what, is_good) in cases {
        let mut talk = Talk::new(&EndpointConfig { unix_at_zero: UNIX, ..short() });
        hand_over(&mut talk);
        let unix_at_zero = match what {
            "late" => UNIX + Duration::from_secs(362),
            "early" => UNIX - Duration::from_secs(62),
            _ => UNIX,
        };
        move_to_another_host(&mut talk, &EndpointConfig { unix_at_zero, ..short() });
        if what == "stolen" {
            // The thief knows the pass and the ticket's name, and not its key.
            let key = talk.links[CLIENT].0;
            let entry = talk.client().links.get_mut(key).expect("it is kept");
            let mut ticket = entry.ticket.as_ref().expect("a ticket").to_bytes();
            ticket[20] ^= 1;
            entry.ticket = Ticket::from_bytes(&ticket).map(Box::new);
        }
        talk.dial();
        talk.world.run(Duration::from_millis(300));
        assert_eq!(passed_on(&talk).len(), usize::from(is_good), "{what}");
        // Its client tries to use it a second time, when the first use is over.
        let Some((_, at_host)) = talk.world.host.links.iter().next().map(|(key, _)| ((), key))
        else {
            panic!("a link")
        };
        talk.world.host.abandon(talk.world.now, LinkId(at_host));
        talk.world.host_events.clear();
        let (now, link) = (talk.world.now, talk.links[CLIENT]);
        if talk.is_kept(CLIENT) {
            talk.client().dial(now, HOST, Some(link)).expect("a client dials");
            talk.world.run(Duration::from_millis(300));
        }
        assert_eq!(passed_on(&talk).len(), 0, "{what}, again");
    }
}

/// Some day.
const UNIX: Duration = Duration::from_secs(1_700_000_000);
