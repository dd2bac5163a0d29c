//! Any datagrams at a host and a client between which a link is up: strangers change nothing, and
//! get no more than they gave.

use std::time::Duration;

use moorline_link::{LinkEvent, Transport};
use moorline_proto::Endpoint;

use crate::handshake::{CLIENT, HOST, OTHER, PORT, assert_works, linked};
use crate::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut client, mut host, link, _, mut now) = linked();
    let mut recorded = Vec::new();
    while client.poll_transmit(now, &mut recorded).is_some() {}
    let mut out = Vec::new();
    while let (Some(how), Some(block)) = (input.byte(), input.block()) {
        let mut datagram = block.to_vec();
        if how & 1 != 0 {
            // A hello is long; a packet of the link is damaged.
            datagram.resize(1_200, 0);
        }
        if how & 2 != 0 && !recorded.is_empty() {
            datagram = recorded
                .iter()
                .zip(block.iter().chain(std::iter::repeat(&0)))
                .map(|(a, b)| a ^ b)
                .collect();
        }
        let from = if how & 4 != 0 { CLIENT } else { OTHER };
        if how & 8 == 0 {
            host.handle_datagram(now, PORT, from, &datagram);
        } else {
            client.handle_datagram(now, PORT, if how & 4 != 0 { HOST } else { OTHER }, &datagram);
        }
        let mut given = 0;
        while let Some(transmit) = host.poll_transmit(now, &mut out) {
            given += if transmit.to == OTHER { out.len() } else { 0 };
        }
        assert!(given <= datagram.len(), "{given} bytes for {}", datagram.len());
        assert_unmoved(&mut host);
        assert_unmoved(&mut client);
        now = now + Duration::from_millis(1);
    }
    assert_works(&mut client, &mut host, link, now);
}

/// Nobody asked in who knows no key, and nothing else came either.
fn assert_unmoved(endpoint: &mut Endpoint) {
    while let Some(event) = endpoint.poll_event() {
        assert!(matches!(event, LinkEvent::Heard { .. }), "{event:?}");
    }
}
