//! What strangers try, one test or more for each attack; SECURITY.md lists them.

use super::*;
use crate::crypto::{CookieKeys, LinkSecrets};
use crate::wire::{HelloId, Retry, Suite, VERSION};

/// A loaded host keeps nothing and computes nothing with keys for who does not show an address.
#[test]
fn a1_a_flood_from_forged_addresses_makes_no_state_and_an_honest_client_gets_in() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    world.client(1, config());
    world.step();
    let hello = world.first_hello().datagram;
    let heap = world.host.links.len();
    for number in 0..20_000_u32 {
        let from = SocketAddr::from((number.to_be_bytes(), 7));
        world.host.handle_datagram(world.now, Port(0), from, &hello);
        let mut out = Vec::new();
        let answer = world.host.poll_transmit(world.now, &mut out);
        assert!(answer.is_some_and(|transmit| transmit.to == from));
        assert_eq!(out.len(), Retry::LEN);
    }
    assert_eq!((world.host.links.len(), world.asked()), (heap, 0));
    world.run(Duration::from_millis(160));
    assert_eq!(world.ups(), 1, "two round trips");
    // A cookie of another secret, address or time is as good as none.
    let stale =
        CookieKeys::new(world.now, &secret(77)).make(world.now, address(1), HelloId([1; 8]));
    assert_eq!(stale.len(), crate::wire::COOKIE_LEN);
}

#[test]
fn a2_no_answer_is_longer_than_what_it_answers_whatever_comes() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(200));
    let recorded: Vec<_> = world.record.clone();
    let mut host = Endpoint::host(config(), &host_key(), secret(9)).expect("it can work");
    let mut out = Vec::new();
    for sent in recorded.iter().filter(|sent| sent.to == HOST) {
        for len in 0..=sent.datagram.len() {
            host.handle_datagram(world.now, Port(0), sent.from, &sent.datagram[..len]);
            while let Some(event) = host.poll_event() {
                if let LinkEvent::Asked { link, .. } = event {
                    host.accept(world.now, link);
                }
            }
            let mut answered = 0;
            while host.poll_transmit(world.now, &mut out).is_some() {
                answered += out.len();
            }
            assert!(answered <= len, "{answered} for {len}");
            world.now = world.now + Duration::from_millis(2);
        }
    }
}

#[test]
fn a6_all_recorded_handshakes_repeated_make_no_link() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    for number in 0..10 {
        world.client(number, config());
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.ups(), 10);
    let recorded: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    let restarted = Endpoint::host(config(), &host_key(), secret(99)).expect("it can work");
    let living = std::mem::replace(&mut world.host, restarted);
    for host in [&mut world.host, &mut { living }] {
        let mut now = world.now;
        for sent in recorded.iter().chain(recorded.iter().rev()) {
            host.handle_datagram(now, Port(0), sent.from, &sent.datagram);
            while let Some(event) = host.poll_event() {
                match event {
                    LinkEvent::Asked { link, .. } => host.accept(now, link),
                    other => panic!("nothing comes of it: {other:?}"),
                }
            }
            now = now + Duration::from_millis(1);
        }
        host.handle_timeout(now + Duration::from_secs(6));
        assert!(
            host.links.iter().all(|(_, entry)| entry.link().is_some_and(|it| it.is_confirmed()))
        );
    }
}

#[test]
fn a7_links_whose_client_does_not_answer_are_few_and_gone_in_time() {
    let limits = EndpointConfig {
        half_open_max: 16,
        half_open_per_address_max: 4,
        hello_rate_max: u32::MAX,
        ..config()
    };
    let mut world = World::new(limits);
    world.is_cut = true;
    for number in 0..600 {
        world.client(number, config());
    }
    world.step();
    let hellos: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    for (number, sent) in hellos.iter().enumerate() {
        // Sixteen of them from each address.
        let from = SocketAddr::from(([10, 9, 0, (number / 16) as u8], number as u16));
        world.host.handle_datagram(world.now, Port(0), from, &sent.datagram);
        while world.host.poll_event().is_some() {}
        assert!(world.host.links.len() <= 16);
    }
    assert!(world.counter("native_limit_half_open") + world.counter("native_retries") > 400);
    let late = world.now + Duration::from_millis(5_200);
    world.host.handle_timeout(late);
    assert!(world.host.links.is_empty(), "gone at the deadline");
}

/// Every datagram of one and of two bytes, and every packet cut short and with each byte changed,
/// to a host without a link, with one that nobody confirmed, one that is up and one that ends.
#[test]
fn a21_no_short_cut_or_changed_datagram_changes_a_link_in_any_state() {
    let mut world = World::new(config());
    let link = world.client(1, config());
    world.run(Duration::from_millis(200));
    let recorded: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    let mut shapes: Vec<Vec<u8>> = vec![vec![]];
    for first in 0..=u8::MAX {
        shapes.push(vec![first]);
        shapes.extend((0..=u8::MAX).map(|second| vec![first, second]));
    }
    for sent in &recorded {
        let datagram = &sent.datagram;
        shapes.extend((0..datagram.len().min(300)).map(|len| datagram[..len].to_vec()));
        // What a hello is filled up with has no meaning.
        let len = match Datagram::parse(Direction::ToHost, datagram) {
            Ok(Datagram::ClientHello(hello)) => hello.covered_len() + hello.mac.len(),
            _ => datagram.len(),
        };
        for at in 0..len {
            for flip in [1, 0x80, 0xff] {
                let mut changed = datagram.clone();
                changed[at] ^= flip;
                shapes.push(changed);
            }
        }
    }
    assert_unmoved(&mut world, &shapes);
    let (key, _) = world.host.links.iter().next().expect("a link");
    let (now, farewell) = (world.now, Refusal::new(RefusalCode::Stopping, "enough"));
    world.host.close(now, LinkId(key), Some(&farewell));
    assert_unmoved(&mut world, &shapes);
    assert!(world.clients.get_mut(&address(1)).expect("it is there").stats(link).is_some());

    let mut world = World::new(config());
    assert_unmoved(&mut world, &shapes);
    world.client(2, config());
    world.step();
    let hello = world.first_hello();
    world.host.handle_datagram(world.now, Port(0), hello.from, &hello.datagram);
    world.step();
    assert_eq!((world.host.links.len(), world.ups()), (1, 0));
    assert_unmoved(&mut world, &shapes);
}

/// What strangers send is counted, and changes nothing else.
fn assert_unmoved(world: &mut World, shapes: &[Vec<u8>]) {
    let mut out = Vec::new();
    while world.host.poll_transmit(world.now, &mut out).is_some() {}
    let before = without_counts(world);
    for datagram in shapes {
        world.host.handle_datagram(world.now, Port(0), address(1), datagram);
        while world.host.poll_transmit(world.now, &mut out).is_some() {}
    }
    assert!(world.host.poll_event().is_none());
    assert_eq!(without_counts(world), before);
}

/// All links, but for how many forged packets they saw.
fn without_counts(world: &World) -> String {
    let told = format!("{:?}", world.host.links);
    let mut parts = told.split("forged: ");
    let head = parts.next().unwrap_or_default().to_owned();
    parts.fold(head, |told, part| told + part.trim_start_matches(|it: char| it.is_ascii_digit()))
}

#[test]
fn a19_a_reset_that_is_not_the_hosts_changes_nothing_and_the_hosts_ends_the_link_at_once() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(200));
    let client = world.clients.get_mut(&address(1)).expect("a client");
    for number in 0..2_000_u32 {
        let mut forged = vec![0x40; 40];
        forged[20..24].copy_from_slice(&number.to_be_bytes());
        client.handle_datagram(world.now, Port(0), HOST, &forged);
    }
    assert!(client.poll_event().is_none());
    world.host = Endpoint::host(config(), &host_key(), secret(50)).expect("it can work");
    world.host.handle_timeout(world.now);
    let client = world.clients.get_mut(&address(1)).expect("a client");
    let (link, ..) = client.links.iter().next().expect("a link");
    client.control(world.now, LinkId(link), &Control::Beat { beat: 1 }).expect("up");
    world.run(Duration::from_millis(60));
    assert_eq!(world.client_loss(), Some(&Reason::Forgotten));
}

#[test]
fn a36_a_list_of_versions_is_believed_only_when_the_host_stays_silent() {
    let list = |id, versions: &[u32]| {
        let mut out = Vec::new();
        crate::wire::VersionList::emit(&mut out, id, versions);
        out
    };
    for (versions, is_believed) in [(vec![VERSION + 1], true), (vec![VERSION, 9], false)] {
        let mut world = World::new(config());
        world.is_cut = true;
        world.client(1, config());
        world.step();
        let hello = world.first_hello().datagram;
        let id = HelloId(*hello[5..].first_chunk().expect("an id"));
        let client = world.clients.get_mut(&address(1)).expect("a client");
        client.handle_datagram(world.now, Port(0), HOST, &list(HelloId([0; 8]), &versions));
        client.handle_datagram(world.now, Port(0), HOST, &list(id, &versions));
        world.run(Duration::from_millis(2_000));
        assert_eq!(world.client_loss().is_some(), is_believed);
    }
    // The true answer makes the list void.
    let mut world = World::new(config());
    world.client(1, config());
    world.step();
    let hello = world.first_hello().datagram;
    let id = HelloId(*hello[5..].first_chunk().expect("an id"));
    let client = world.clients.get_mut(&address(1)).expect("a client");
    client.handle_datagram(world.now, Port(0), HOST, &list(id, &[VERSION + 1]));
    world.run(Duration::from_secs(2));
    assert_eq!((world.ups(), world.client_loss()), (1, None));

    // A host names its versions to who asks in another.
    let mut other = hello;
    other[4] ^= 0x40;
    world.host.handle_datagram(world.now, Port(0), address(1), &other);
    let mut out = Vec::new();
    assert!(world.host.poll_transmit(world.now, &mut out).is_some());
    assert_eq!(out, list(id, &[VERSION]));
}

/// Two hosts that are wired to each other by a forged address fall silent.
#[test]
fn a3_nothing_that_a_host_says_keeps_two_hosts_talking() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    world.client(1, config());
    world.run(Duration::from_millis(300));
    let said: Vec<_> = world.record.iter().filter(|sent| sent.from == HOST).cloned().collect();
    let host = |byte| Endpoint::host(config(), &host_key(), secret(byte)).expect("it can work");
    let (mut one, mut two) = (host(3), host(4));
    for sent in said {
        let mut datagram = sent.datagram;
        let mut rounds = 0;
        loop {
            world.now = world.now + Duration::from_millis(5);
            let speaker = if rounds % 2 == 0 { &mut one } else { &mut two };
            speaker.handle_datagram(world.now, Port(0), HOST, &datagram);
            if speaker.poll_transmit(world.now, &mut datagram).is_none() {
                break;
            }
            rounds += 1;
            assert!(rounds < 20);
        }
    }
}

/// Notes the keys of all links.
#[derive(Debug, Default)]
struct Keys(std::sync::Mutex<Vec<[u8; 32]>>);

impl KeyLog for Keys {
    fn on_link(&self, _: ConnectionId, _: Suite, secrets: &LinkSecrets) {
        let both = [&secrets.to_host, &secrets.to_client].map(|secret| *secret.as_bytes());
        self.0.lock().expect("one thread").extend(both);
    }
}

fn noting() -> (std::sync::Arc<Keys>, EndpointConfig) {
    let keys = std::sync::Arc::new(Keys::default());
    let key_log: std::sync::Arc<dyn KeyLog> = std::sync::Arc::clone(&keys) as _;
    (keys, EndpointConfig { key_log: Some(key_log), ..config() })
}

/// Numbers begin at 0 with each link, so nothing may bring keys back: not a host that starts again,
/// not even for clients whose randomness comes again.
#[test]
fn a12_whoever_starts_again_has_other_keys() {
    let (keys, config) = noting();
    for start in 0..3_u8 {
        let mut world = World::new(config.clone());
        let host = Endpoint::host(config.clone(), &host_key(), secret(100 + start));
        world.host = host.expect("it can work");
        for number in 0..3 {
            world.client(number, super::config());
        }
        world.run(Duration::from_millis(200));
        assert_eq!(world.ups(), 3);
    }
    let mut keys = keys.0.lock().expect("one thread").clone();
    assert_eq!(keys.len(), 3 * 3 * 2);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3 * 3 * 2);
}

/// Whoever has all keys of one link reads nothing of another.
#[test]
fn a35_no_two_links_share_a_key() {
    let (keys, config) = noting();
    let mut world = World::new(config);
    for number in 0..50 {
        world.client(number, super::config());
    }
    world.run(Duration::from_millis(300));
    assert_eq!(world.ups(), 50);
    let mut keys = keys.0.lock().expect("one thread").clone();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 100);
}

/// A host that was told nothing trusts nobody: no token is good, no link is up before the session
/// layer says so and the client showed that it knows the keys.
#[test]
fn a14_without_settings_nobody_is_trusted() {
    let mut world = World::new(config());
    let token = Token { bytes: b"friend".to_vec(), secret: secret(8) };
    world.client(1, EndpointConfig { token: Some(token), ..config() });
    world.run(Duration::from_millis(300));
    assert_eq!((world.asked(), world.ups(), world.host.links.len()), (0, 0, 0));
    assert!(world.counter("native_unknown_token") > 0);

    // Nobody says yes.
    world.client(2, config());
    world.step();
    let hello = world.record.last().cloned().expect("a hello");
    world.host.handle_datagram(world.now, Port(0), hello.from, &hello.datagram);
    assert!(matches!(world.host.poll_event(), Some(LinkEvent::Asked { .. })));
    assert!(world.host.poll_transmit(world.now, &mut Vec::new()).is_none());

    // Nobody shows that it could read the answer.
    let mut world = World::new(config());
    world.client(3, config());
    world.step();
    let hello = world.first_hello();
    world.host.handle_datagram(world.now, Port(0), hello.from, &hello.datagram);
    world.is_cut = true;
    world.run(Duration::from_secs(1));
    assert_eq!((world.asked(), world.ups()), (1, 0));
    world.run(Duration::from_secs(6));
    assert!(world.host.links.is_empty());
}

/// Lets a token in until it is revoked.
#[derive(Debug)]
struct Revocable(std::sync::atomic::AtomicBool);

impl Admission for Revocable {
    fn admit(&self, token: &[u8], _from: SocketAddr) -> Admitted {
        let is_revoked = self.0.load(std::sync::atomic::Ordering::Relaxed);
        match token {
            b"friend" if !is_revoked => Admitted::Yes { secret: secret(8) },
            _ => Admitted::Unknown,
        }
    }
}

/// No verdict on a token is remembered: a thief's failure locks its owner out of nothing, and what
/// let the owner in lets nobody in later.
#[test]
fn a17_each_token_is_judged_anew_whatever_was_said_of_it_before() {
    let door = std::sync::Arc::new(Revocable(false.into()));
    let mut world = World::new(EndpointConfig { admission: Some(door.clone()), ..config() });
    let come = |world: &mut World, number, bytes: &[u8], byte| {
        let token = Token { bytes: bytes.to_vec(), secret: secret(byte) };
        world.client(number, EndpointConfig { token: Some(token), ..config() });
        world.run(Duration::from_millis(400));
        world.ups()
    };
    assert_eq!(come(&mut world, 1, b"friend", 9), 0, "stolen, without its secret");
    assert_eq!(come(&mut world, 2, b"stranger", 8), 0, "never given to anyone");
    assert_eq!(come(&mut world, 3, b"friend", 8), 1, "its owner");
    assert_eq!(come(&mut world, 4, b"friend", 9), 1, "stolen, after it was believed");
    assert_eq!(come(&mut world, 5, b"stranger", 8), 1);
    door.0.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(come(&mut world, 6, b"friend", 8), 1, "revoked, after it was believed");
}

#[test]
fn a5_a_link_that_rests_rests_on_when_forged_packets_come_and_counts_them() {
    let mut world = World::new(config());
    let link = world.client(1, config());
    world.run(Duration::from_secs(3));
    let key = world.host.links.iter().next().map(|(key, _)| key).expect("a link");
    let answer = Control::BeatAnswer { beat: 0, server_tick: 0 };
    world.host.control(world.now, LinkId(key), &answer).expect("it is up");
    world.run(Duration::from_secs(1));
    let is_resting = |host: &Endpoint| {
        matches!(host.links.get(key).map(|entry| &entry.stage), Some(Stage::Resting(_)))
    };
    assert!(is_resting(&world.host));
    let now = world.now;
    let client = world.clients.get_mut(&address(1)).expect("a client");
    client.control(now, link, &Control::Beat { beat: 1 }).expect("it is up");
    let mut packet = Vec::new();
    client.poll_transmit(now, &mut packet).expect("a packet");
    let mut forged = packet.clone();
    *forged.last_mut().expect("a tag") ^= 1;
    for _ in 0..3 {
        world.host.handle_datagram(now, Port(0), address(1), &forged);
        assert!(is_resting(&world.host));
        let mut out = Vec::new();
        assert!(world.host.poll_transmit(now, &mut out).is_none());
    }
    world.host.handle_datagram(now, Port(0), address(1), &packet);
    assert!(!is_resting(&world.host));
    let told = format!("{:?}", world.host.links.get(key));
    assert!(told.contains("forged: 3"), "{told}");
}
