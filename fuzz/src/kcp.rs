//! Any datagrams at a KCP host.

use std::time::Duration;

use moorline_kcp::{KcpConfig, KcpEndpoint};
use moorline_link::{Control, LinkEvent, Transport};

use crate::handshake::{CLIENT, PORT, START};
use crate::input::Input;

pub(crate) fn host(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let endpoint = KcpEndpoint::host_plaintext_unauthenticated(KcpConfig::default(), 1);
    let (mut host, mut now, mut out) = (endpoint.expect("it can work"), START, Vec::new());
    while let (Some(how), Some(datagram)) = (input.byte(), input.block()) {
        host.handle_datagram(now, PORT, CLIENT, datagram);
        now = now + Duration::from_millis(u64::from(how));
        host.handle_timeout(now);
        while let Some(event) = host.poll_event() {
            match event {
                LinkEvent::Asked { link, .. } => host.accept(now, link),
                LinkEvent::Control { link, control: Control::Login { .. } } => {
                    let yes = Control::LoginAccepted { server_tick: 0, payload: Vec::new() };
                    let _ = host.control(now, link, &yes);
                }
                _ => {}
            }
        }
        while host.poll_transmit(now, &mut out).is_some() {}
    }
}
