//! ENet, by the `rusty_enet` port.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use rusty_enet::{
    Event as EnetEvent, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, Socket,
};

use super::seam::{Clients, Event, Lane, Peer, Server, told};
use super::sockets::{self, sleep_until};
use super::trial::Trial;

/// ENet.
pub(super) const ENET: Peer = Peer {
    name: "enet",
    settings: "rusty_enet 0.4 (ENet 1.3.18): 2 channels, peer_limit = clients + 8, no bandwidth \
               limits, no checksum, no compression; service() until the socket is empty, and \
               flush(), once per tick at both ends (1 ms in echo); no encryption; unreliable: \
               unreliable sequenced packet",
    is_reliable: true,
    // The protocol has 4,095 peers.
    clients_max: 4_087,
    message_len_max: usize::MAX,
    serve,
    join,
};

const CHANNELS: usize = 2;

/// A socket that remembers whether it was empty: `service` ends early as well.
struct Wire {
    socket: UdpSocket,
    is_empty: bool,
}

impl Socket for Wire {
    type Address = SocketAddr;
    type Error = io::Error;

    fn send(&mut self, address: SocketAddr, buffer: &[u8]) -> io::Result<usize> {
        match self.socket.send_to(buffer, address) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> io::Result<Option<(SocketAddr, PacketReceived)>> {
        match self.socket.recv_from(buffer) {
            Ok((len, from)) => Ok(Some((from, PacketReceived::Complete(len)))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_empty = true;
                Ok(None)
            }
            // A port that nobody is at, or not yet.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error),
        }
    }
}

type Told = VecDeque<(Event, Option<Packet>)>;

fn host(socket: UdpSocket, peer_limit: usize) -> Result<Host<Wire>, String> {
    let settings = HostSettings { peer_limit, channel_limit: CHANNELS, ..HostSettings::default() };
    Host::new(Wire { socket, is_empty: false }, settings).map_err(|_| "no host".to_owned())
}

/// Serves until the socket is empty; all events are of this client, or of the peer that they name.
fn service(host: &mut Host<Wire>, client: Option<u32>, events: &mut Told) {
    loop {
        host.socket_mut().is_empty = false;
        let number = |peer: PeerID| client.unwrap_or(peer.0 as u32);
        match host.service() {
            Ok(Some(EnetEvent::Connect { peer, .. })) => {
                events.push_back((Event::Connected(number(peer.id())), None));
            }
            Ok(Some(EnetEvent::Disconnect { peer, .. })) => {
                events.push_back((Event::Gone(number(peer.id())), None));
            }
            Ok(Some(EnetEvent::Receive { peer, channel_id, packet })) => {
                let lane = if channel_id == 0 { Lane::Reliable } else { Lane::Unreliable };
                events.push_back((Event::Message(number(peer.id()), lane), Some(packet)));
            }
            Ok(None) => {
                if host.socket().is_empty {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn next(events: &mut Told, payload: &mut Vec<u8>) -> Option<Event> {
    let (event, packet) = events.pop_front()?;
    if let Some(packet) = packet {
        payload.clear();
        payload.extend_from_slice(packet.data());
    }
    Some(event)
}

fn send(host: &mut Host<Wire>, peer: PeerID, lane: Lane, payload: &[u8]) -> bool {
    let packet = match lane {
        Lane::Reliable => Packet::reliable(payload),
        Lane::Unreliable => Packet::unreliable(payload),
    };
    host.peer_mut(peer).send(lane as u8, &packet).is_ok()
}

struct Enet {
    host: Host<Wire>,
    events: Told,
    is_served: bool,
}

fn serve(trial: &Trial) -> Result<(Box<dyn Server>, String), String> {
    let socket = sockets::of_server()?;
    let address = socket.local_addr().map_err(told)?.to_string();
    let host = host(socket, trial.clients as usize + 8)?;
    Ok((Box::new(Enet { host, events: Told::new(), is_served: false }), address))
}

impl Server for Enet {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        if !self.is_served {
            self.is_served = true;
            service(&mut self.host, None, &mut self.events);
        }
        let event = next(&mut self.events, payload);
        if event.is_none() {
            sleep_until(deadline);
            self.is_served = false;
        }
        event
    }

    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        send(&mut self.host, PeerID(to as usize), lane, payload)
    }

    fn tick(&mut self) {
        self.host.flush();
        self.is_served = false;
    }
}

struct EnetClients {
    to: SocketAddr,
    hosts: Vec<Host<Wire>>,
    events: Told,
}

fn join(_: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let to = invitation.parse().map_err(told)?;
    Ok(Box::new(EnetClients { to, hosts: Vec::new(), events: Told::new() }))
}

impl Clients for EnetClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        let mut host = host(sockets::of_client(client)?, 1)?;
        host.connect(self.to, CHANNELS, 0).map_err(|_| "no peer is free")?;
        host.flush();
        self.hosts.push(host);
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        let event = next(&mut self.events, payload);
        if event.is_none() {
            sleep_until(deadline);
        }
        event
    }

    fn send(&mut self, from: u32, lane: Lane, payload: &[u8]) -> bool {
        send(&mut self.hosts[from as usize], PeerID(0), lane, payload)
    }

    fn tick(&mut self, client: u32) {
        let host = &mut self.hosts[client as usize];
        service(host, Some(client), &mut self.events);
        host.flush();
    }
}
