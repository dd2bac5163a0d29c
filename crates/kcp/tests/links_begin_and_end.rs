//! Dials, logins, beats, refusals and good-byes between our own two sides.

mod support;

use std::time::Duration;

use moorline_kcp::{KcpConfig, KcpEndpoint, kinds};
use moorline_link::transport::DialError;
use moorline_link::{Control, Lane, LinkEvent, Reason, SendError, Transport};
use prost::Message;
use support::{HOST, Manner, World, counter, full, host_config, millis};

fn login(payload: &[u8]) -> Control {
    Control::Login { identity: b"ada".into(), payload: payload.into() }
}

#[test]
fn a_dial_is_up_when_the_host_answers_and_the_host_keeps_nothing_until_then() {
    let mut world = World::with_clients(1, 1);
    let link = world.dial(1);
    world.run(millis(50));
    let address = world.host_address();
    assert_eq!(world.peers[1].events, [LinkEvent::Up { link, address, resumes: None }]);
    assert_eq!(world.peers[HOST].events, []);
    assert_eq!(counter(world.host(), "kcp_probes_answered"), 1);
    assert_eq!(world.host().poll_timeout(), None);
}

#[test]
fn an_unanswered_dial_probes_ever_more_slowly() {
    let mut world = World::with_clients(1, 1);
    world.deaf = Some(world.host_address());
    world.tap = Some(Vec::new());
    world.dial(1);
    world.run(millis(3_600));
    // At 0, 100, 300, 700, 1500, 2500 and 3500 ms.
    let sent = world.tap.take().expect("tapped");
    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|sent| sent.bytes.len() == 24));
    world.deaf = None;
    world.run(millis(1_100));
    assert!(matches!(world.peers[1].events.as_slice(), [LinkEvent::Up { .. }]));
}

#[test]
fn a_host_does_not_dial() {
    let mut world = World::new(1, KcpConfig::default());
    let (now, address) = (world.now, world.host_address());
    assert_eq!(world.host().dial(now, address, None), Err(DialError::HostOnly));
}

#[test]
fn nothing_is_delivered_before_the_host_lets_the_peer_in() {
    let mut world = World::with_clients(1, 1);
    world.peers[HOST].manner = Manner::Watch;
    let link = world.dial(1);
    world.run(millis(50));
    world.control(1, link, &login(b"")).expect("it is up");
    world.send(1, link, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
    world.run(millis(100));
    let [LinkEvent::Asked { link: asked, .. }] = *world.peers[HOST].events.as_slice() else {
        panic!("{:?}", world.peers[HOST].events);
    };
    let early = world.send(HOST, asked, (4, Lane::ReliableOrdered), b"");
    assert_eq!(early, Err(SendError::NotUp));
    let now = world.now;
    world.host().accept(now, asked);
    world.run(millis(1));
    let events = &world.peers[HOST].events[1..];
    assert!(
        matches!(
            events,
            [
                LinkEvent::Up { .. },
                LinkEvent::Control { control: Control::Login { .. }, .. },
                LinkEvent::Message { .. },
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn beats_are_answered_in_turn_with_the_hosts_tick() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    for beat in [7, 900] {
        world.control(1, link, &Control::Beat { beat }).expect("it is up");
    }
    world.run(millis(100));
    let heard = world.controls(HOST, at_host);
    assert_eq!(heard, [Control::Beat { beat: 0 }, Control::Beat { beat: 1 }]);
    let answers = [7, 900].map(|beat| Control::BeatAnswer { beat, server_tick: 78 });
    assert_eq!(world.controls(1, link), answers);
}

#[test]
fn beats_that_nobody_answers_are_bounded() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    world.peers[HOST].manner = Manner::Accept;
    for beat in 0..64 {
        world.control(1, link, &Control::Beat { beat }).expect("there is room");
        world.run(millis(20));
    }
    assert_eq!(world.control(1, link, &Control::Beat { beat: 64 }), Err(SendError::Full));
}

#[test]
fn the_applications_own_login_messages_travel_whole() {
    let mut world = World::with_clients(1, 1);
    world.peers[HOST].manner = Manner::Accept;
    let link = world.dial(1);
    world.run(millis(50));
    let request = kinds::LoginRequest { player_id: "ada".into(), speed: 9 }.encode_to_vec();
    world.control(1, link, &login(&request)).expect("it is up");
    world.run(millis(50));
    let asked = match world.peers[HOST].events[1] {
        LinkEvent::Up { link, .. } => link,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(world.controls(HOST, asked), [login(&request)]);
    let response = kinds::LoginResponse {
        player_id: vec!["bob".into(), "ada".into()],
        positions: vec![kinds::Vector3 { x: 1.0, y: 2.0, z: 3.0 }],
        ..kinds::LoginResponse::default()
    };
    let payload = response.encode_to_vec();
    let yes = Control::LoginAccepted { server_tick: 5, payload };
    world.control(HOST, asked, &yes).expect("it is up");
    world.run(millis(50));
    let [Control::LoginAccepted { server_tick: 5, payload }] = &world.controls(1, link)[..] else {
        panic!("{:?}", world.controls(1, link));
    };
    let got = kinds::LoginResponse::decode(payload.as_slice()).expect("a response");
    let expected = kinds::LoginResponse { server_tick: 5, result: true, ..response };
    assert_eq!(got, expected);
}

#[test]
fn a_refused_login_says_why_and_when_to_come_again() {
    let mut world = World::with_clients(1, 1);
    world.peers[HOST].manner = Manner::Accept;
    let link = world.dial(1);
    world.run(millis(50));
    world.control(1, link, &login(b"")).expect("it is up");
    world.run(millis(50));
    let LinkEvent::Up { link: asked, .. } = world.peers[HOST].events[1] else { panic!("up") };
    world.control(HOST, asked, &Control::LoginRefused(full())).expect("it is up");
    world.run(millis(50));
    assert_eq!(world.controls(1, link), [Control::LoginRefused(full())]);
}

#[test]
fn a_peer_turned_away_hears_why_in_no_more_bytes_than_it_sent() {
    let mut world = World::with_clients(1, 1);
    world.peers[HOST].manner = Manner::Refuse;
    let link = world.dial(1);
    world.run(millis(50));
    world.tap = Some(Vec::new());
    world.control(1, link, &login(b"")).expect("it is up");
    world.run(millis(35));
    let [request, answer, ..] = &world.tap.take().expect("tapped")[..] else {
        panic!("two datagrams")
    };
    assert!(answer.bytes.len() <= request.bytes.len());
    assert_eq!(world.controls(1, link), [Control::LoginRefused(full())]);
    world.run(millis(5_000));
    assert_eq!(world.host().poll_timeout(), None, "nothing is left of it");
}

#[test]
fn a_good_bye_reaches_the_other_side_after_all_that_was_sent_before() {
    for closer in [HOST, 1] {
        let mut world = World::with_clients(1, 1);
        let (link, at_host) = world.log_in(1, "ada");
        let (own, other, theirs) =
            if closer == HOST { (at_host, 1, link) } else { (link, HOST, at_host) };
        world.send(closer, own, (4, Lane::ReliableOrdered), b"last").expect("it is up");
        let now = world.now;
        world.peers[closer].endpoint.close(now, own, None);
        world.run(millis(100));
        assert_eq!(world.messages(other, theirs), [(4, b"last".to_vec())]);
        assert_eq!(world.losses(other), [(theirs, Reason::PeerLeft)]);
        assert_eq!(world.peers[closer].events, []);
        let late = world.send(closer, own, (4, Lane::ReliableOrdered), b"");
        assert_eq!(late, Err(SendError::NotUp));
        world.run(millis(2_000));
        for peer in [HOST, 1] {
            assert_eq!(world.peers[peer].endpoint.poll_timeout(), None, "nothing is left of it");
        }
    }
}

#[test]
fn a_host_that_throws_a_peer_out_says_why() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    let now = world.now;
    world.host().close(now, at_host, Some(&full()));
    world.run(millis(100));
    assert_eq!(world.losses(1), [(link, Reason::Refused(full()))]);
}

#[test]
fn a_peer_whose_login_was_not_answered_hears_good_bye_in_no_more_bytes_than_it_sent() {
    let mut world = World::with_clients(1, 1);
    world.peers[HOST].manner = support::Manner::Accept;
    let link = world.dial(1);
    world.run(millis(100));
    world.control(1, link, &login(b"")).expect("a link");
    world.run(millis(100));
    let Some(LinkEvent::Up { link: at_host, .. }) = world.peers[HOST]
        .events
        .iter()
        .find(|event| matches!(event, LinkEvent::Up { .. }))
        .cloned()
    else {
        panic!("it was let in");
    };
    // Nothing comes back any more, as from an address that was forged.
    world.deaf = Some(world.peers[1].addresses[0]);
    world.tap = Some(Vec::new());
    let now = world.now;
    world.host().close(now, at_host, Some(&full()));
    world.run(millis(5_000));
    let host_at = world.host_address();
    let sent = world.tap.take().expect("tapped");
    let words = sent.iter().filter(|sent| sent.from == host_at);
    assert_eq!(words.filter(|sent| sent.bytes.len() > support::HEADER_LEN).count(), 1);
}

#[test]
fn a_good_bye_arrives_through_loss() {
    for seed in 0..20 {
        let mut world = World::with_clients(seed, 1);
        let (link, at_host) = world.log_in(1, "ada");
        world.weather.loss_permille = 300;
        let now = world.now;
        world.peers[1].endpoint.close(now, link, None);
        world.run(millis(1_500));
        assert_eq!(world.losses(HOST), [(at_host, Reason::PeerLeft)], "seed {seed}");
    }
}

#[test]
fn an_abandoned_link_tells_nobody() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    world.tap = Some(Vec::new());
    let now = world.now;
    world.peers[1].endpoint.abandon(now, link);
    world.run(millis(500));
    assert_eq!(world.tap.take().map(|sent| sent.len()), Some(0));
    assert_eq!((world.peers[1].events.len(), world.losses(HOST).len()), (0, 0));
}

#[test]
fn closing_takes_back_the_events_that_were_not_taken() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.send(1, link, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
    world.tap = Some(Vec::new());
    world.drive();
    let sent = world.tap.take().expect("tapped");
    world.deliver(&sent[0]);
    let now = world.now;
    world.host().close(now, at_host, None);
    assert_eq!(world.host().poll_event(), None);
}

#[test]
fn a_redial_is_not_swallowed_by_what_the_host_still_knows_of_the_last_link() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    let now = world.now;
    world.peers[1].endpoint.abandon(now, link);
    let (again, at_host) = world.log_in(1, "ada");
    assert_ne!(link, again);
    world.send(1, again, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
    world.run(millis(50));
    assert_eq!(world.messages(HOST, at_host).len(), 1);
}

#[test]
fn a_late_repeat_of_the_first_datagram_opens_nothing_after_the_end() {
    for closer in [HOST, 1] {
        let mut world = World::with_clients(1, 1);
        world.tap = Some(Vec::new());
        let (link, at_host) = world.log_in(1, "ada");
        let sent = world.tap.take().expect("tapped");
        let is_first = |bytes: &[u8]| bytes[4] == support::PUSH && bytes[12..16] == [0; 4];
        let first = sent.iter().find(|sent| is_first(&sent.bytes)).expect("a login");
        let now = world.now;
        let own = if closer == HOST { at_host } else { link };
        world.peers[closer].endpoint.close(now, own, None);
        world.run(millis(100));
        world.clear_events();
        world.deliver(first);
        world.run(millis(100));
        assert_eq!(world.peers[HOST].events, []);
    }
}

#[test]
fn what_lingers_of_a_link_makes_room_for_a_new_dial_from_the_same_port() {
    let mut world = World::with_clients(1, 1);
    let (_, at_host) = world.log_in(1, "ada");
    let now = world.now;
    world.host().close(now, at_host, None);
    // The program is gone, and another one was given its port: its first dial has the same number.
    let fresh = KcpEndpoint::client_plaintext_unauthenticated(KcpConfig::default(), 9);
    world.peers[1].endpoint = fresh.expect("the defaults work");
    world.clear_events();
    world.log_in(1, "bea");
}

#[test]
fn a_peer_that_never_acknowledges_is_lost() {
    let mut world = World::with_clients(1, 1);
    let (_, at_host) = world.log_in(1, "ada");
    world.deaf = Some(world.peers[1].addresses[0]);
    world.send(HOST, at_host, (4, Lane::ReliableOrdered), b"anyone?").expect("it is up");
    world.run(Duration::from_secs(3_600));
    assert_eq!(world.losses(HOST), [(at_host, Reason::Unacknowledged)]);
    assert_eq!(world.host().poll_timeout(), None);
}

#[test]
fn a_conversation_ends_before_its_clock_does() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.run(Duration::from_secs(1_720_000));
    let late = world.send(HOST, at_host, (4, Lane::ReliableOrdered), b"still here?");
    assert_eq!(late, Err(SendError::NotUp));
    let late = world.send(1, link, (3, Lane::ReliableOrdered), b"still here?");
    assert_eq!(late, Err(SendError::NotUp));
    world.run(millis(50));
    assert_eq!(world.losses(HOST), [(at_host, Reason::Exhausted)]);
    assert_eq!(world.losses(1), [(link, Reason::Exhausted)]);
}

#[test]
fn words_of_the_session_layer_cannot_be_sent_as_messages() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    for kind in [21, 22, 23, 40, 41] {
        let error = world.send(1, link, (kind, Lane::ReliableOrdered), b"");
        assert_eq!(error, Err(SendError::Reserved { kind }));
    }
}

#[test]
fn a_quiet_link_has_no_timer() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.send(1, link, (1, Lane::Latest), b"\x0a\x03ada\x10\x05").expect("it is up");
    world.run(millis(200));
    assert_eq!(world.messages(HOST, at_host).len(), 1);
    for peer in [HOST, 1] {
        assert_eq!(world.peers[peer].endpoint.poll_timeout(), None);
    }
    world.tap = Some(Vec::new());
    world.run(Duration::from_secs(86_400));
    assert_eq!(world.tap.take().map(|sent| sent.len()), Some(0));
}

#[test]
fn the_first_message_of_a_quiet_link_leaves_at_once_and_is_acknowledged_within_ten_milliseconds() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    world.run(millis(1_003));
    let sent_at = world.now;
    world.send(1, link, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
    world.tap = Some(Vec::new());
    world.drive();
    assert_eq!(world.tap.as_ref().map(Vec::len), Some(1));
    // There, the wait, and back.
    world.run(millis(10 + 11 + 10));
    let stats = world.peers[1].endpoint.stats(link).expect("it is up");
    assert_eq!(stats.in_flight_len, 0, "since {sent_at:?}");
}

#[test]
fn what_needs_no_other_event_is_a_sign_of_life() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    world.send(1, link, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
    world.run(millis(100));
    assert_eq!(world.peers[1].events, [LinkEvent::Heard { link }]);
}

#[test]
fn an_endpoint_can_move_to_another_thread() {
    const fn is_send<T: Send>(_: &T) {}
    is_send(World::new(1, host_config()).host());
}

#[test]
fn a_client_that_leaves_has_left_whatever_reason_it_gives() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    let now = world.now;
    world.peers[1].endpoint.close(now, link, Some(&full()));
    world.run(millis(100));
    assert_eq!(world.losses(HOST), [(at_host, Reason::PeerLeft)]);
}

#[test]
fn the_figures_of_a_link_outlive_it_until_its_loss_was_told_of() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.peers[HOST].manner = Manner::Watch;
    let now = world.now;
    world.peers[1].endpoint.close(now, link, None);
    let mut datagram = Vec::new();
    while world.peers[1].endpoint.poll_transmit(now, &mut datagram).is_some() {
        let from = world.peers[1].addresses[0];
        world.host().handle_datagram(now, moorline_link::Port(0), from, &datagram);
    }
    while let Some(event) = world.host().poll_event() {
        if matches!(event, LinkEvent::Lost { link, .. } if link == at_host) {
            let stats = world.host().stats(at_host).expect("just told of");
            assert!(stats.received.count > 0 && stats.sent.count > 0);
            return;
        }
    }
    panic!("the loss was not told of");
}
