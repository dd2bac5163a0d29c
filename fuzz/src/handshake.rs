//! One client and one host that know each other.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use moorline_link::{Control, Lane, LinkEvent, LinkId, Outgoing, Port, Time, Transport};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig};

pub(crate) const CLIENT: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4_000));
/// Where somebody else is.
pub(crate) const OTHER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 3), 5_000));
pub(crate) const HOST: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 9_000));
pub(crate) const PORT: Port = Port(0);
pub(crate) const START: Time = Time::from_millis(1_000);

pub(crate) fn key() -> HostKey {
    HostKey::new(Secret::new([1; 32]))
}

pub(crate) fn host() -> Endpoint {
    Endpoint::host(EndpointConfig::default(), &key(), Secret::new([2; 32])).expect("it can work")
}

pub(crate) fn client() -> (Endpoint, LinkId) {
    let entropy = Secret::new([3; 32]);
    let client = Endpoint::client(EndpointConfig::default(), key().public(), entropy);
    let mut client = client.expect("it can work");
    let link = client.dial(START, HOST, None).expect("a client dials");
    (client, link)
}

/// A client and a host between which a link is up and the login is done.
pub(crate) fn linked() -> (Endpoint, Endpoint, LinkId, LinkId, Time) {
    let (mut client, of_client) = client();
    let (mut host, mut of_host, mut now, mut out) = (host(), None, START, Vec::new());
    let mut is_in = false;
    while !is_in {
        while client.poll_transmit(now, &mut out).is_some() {
            host.handle_datagram(now, PORT, CLIENT, &out);
        }
        while let Some(event) = host.poll_event() {
            match event {
                LinkEvent::Asked { link, .. } => host.accept(now, link),
                LinkEvent::Control { link, .. } => {
                    let yes = Control::LoginAccepted { server_tick: 0, payload: Vec::new() };
                    host.control(now, link, &yes).expect("it is up");
                    of_host = Some(link);
                }
                _ => {}
            }
        }
        while host.poll_transmit(now, &mut out).is_some() {
            client.handle_datagram(now, PORT, HOST, &out);
        }
        while let Some(event) = client.poll_event() {
            match event {
                LinkEvent::Up { link, .. } => {
                    let login = Control::Login { identity: b"ada".to_vec(), payload: Vec::new() };
                    client.control(now, link, &login).expect("it is up");
                }
                LinkEvent::Control { .. } => is_in = true,
                _ => {}
            }
        }
        now = now + Duration::from_millis(1);
        host.handle_timeout(now);
        client.handle_timeout(now);
    }
    (client, host, of_client, of_host.expect("a login came"), now)
}

/// A message still arrives, whatever others did.
pub(crate) fn assert_works(client: &mut Endpoint, host: &mut Endpoint, link: LinkId, now: Time) {
    let message = Outgoing {
        kind: 7,
        lane: Lane::ReliableOrdered,
        key: 0,
        payload: b"still here",
        notice: None,
    };
    client.send(now, link, message).expect("the link is up");
    let (mut now, mut out) = (now, Vec::new());
    for _ in 0..100 {
        while client.poll_transmit(now, &mut out).is_some() {
            host.handle_datagram(now, PORT, CLIENT, &out);
        }
        while host.poll_transmit(now, &mut out).is_some() {
            client.handle_datagram(now, PORT, HOST, &out);
        }
        while let Some(event) = host.poll_event() {
            if let LinkEvent::Message { message, .. } = event {
                assert_eq!(message.payload, b"still here");
                return;
            }
        }
        now = now + Duration::from_millis(10);
        client.handle_timeout(now);
        host.handle_timeout(now);
    }
    panic!("a true message got lost for what others did");
}
