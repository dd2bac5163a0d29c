//! Any frames from a client that has the keys: it may end its own link, and nothing else.

use std::time::Duration;

use moorline_link::{Lane, LinkEvent, Outgoing, Reason, Transport};

use crate::handshake::{OTHER, PORT, assert_works, key, linked};
use crate::input::Input;

#[path = "../../crates/proto/tests/support/peer.rs"]
mod by_hand;

use by_hand::Peer;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut client, mut host, of_client, of_host, mut now) = linked();
    let mut peer = Peer::at(&mut host, &key().public(), OTHER, now);
    let (mut link, mut is_over, mut out) = (None, false, Vec::new());
    let (mut sent, mut delivered) = (0, 0);
    while let Some(plaintext) = input.block() {
        if plaintext.is_empty() {
            // The host says something too, so that there is something to acknowledge.
            now = now + Duration::from_millis(40);
            if let Some(link) = link.filter(|_| !is_over) {
                let (kind, lane) = (7, Lane::ReliableOrdered);
                let _ = host.send(
                    now,
                    link,
                    Outgoing { kind, lane, key: 0, payload: b"ahoy", notice: None },
                );
            }
        } else {
            host.handle_datagram(now, PORT, OTHER, &peer.seal(plaintext));
            sent += plaintext.len();
        }
        host.handle_timeout(now);
        while let Some(event) = host.poll_event() {
            match event {
                LinkEvent::Up { link: up, .. } => link = Some(up),
                LinkEvent::Lost { link: lost, reason } => {
                    assert!(lost != of_host && !is_over, "{lost:?} is lost");
                    assert!(
                        !matches!(reason, Reason::Unacknowledged | Reason::Exhausted),
                        "{reason:?}"
                    );
                    is_over = true;
                }
                LinkEvent::Message { link: from, message } => {
                    assert!(Some(from) == link && !is_over, "a message of {from:?}");
                    delivered += message.payload.len();
                }
                LinkEvent::Control { link: from, .. } => assert!(from != of_host && !is_over),
                _ => {}
            }
        }
        while host.poll_transmit(now, &mut out).is_some() {}
        assert!(delivered <= sent, "{delivered} bytes delivered of {sent}");
    }
    client.handle_timeout(now);
    assert_works(&mut client, &mut host, of_client, now);
}
