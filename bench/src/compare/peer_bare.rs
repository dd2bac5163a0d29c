//! The limit: datagrams and nothing else. A call for each, as a first program does.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::seam::{Clients, Event, Lane, Pace, Peer, Server, told};
use super::sockets::{self, DATAGRAM_LEN_MAX, Nest};
use super::trial::Trial;

/// With a call for each datagram.
pub(super) const BARE: Peer = Peer {
    name: "bare",
    settings: "plain UDP, one recvfrom or sendto for a datagram, poll when there is none; \
               \"reliable\" is a plain datagram; no encryption, no congestion control",
    is_reliable: false,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve: |_| serve(Pace::Arrival),
    join,
};

/// The same in a game loop.
pub(super) const TICKED: Peer = Peer {
    name: "bare-ticked",
    settings: "as bare, with a look at the socket once per tick, until it is empty",
    is_reliable: false,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve: |_| serve(Pace::Tick),
    join,
};

/// A client's first datagram, and the answer.
pub(super) const HELLO: &[u8] = b"h";

/// After which a first datagram without answer is repeated.
const HELLO_AGAIN: Duration = Duration::from_millis(250);

/// The lane is read from the message itself, where no wire tells it.
pub(super) fn lane(payload: &[u8]) -> Lane {
    if payload.get(4) == Some(&(Lane::Reliable as u8)) { Lane::Reliable } else { Lane::Unreliable }
}

/// Numbers for addresses.
#[derive(Debug, Default)]
pub(super) struct Roll {
    numbers: HashMap<SocketAddr, u32>,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Roll {
    /// What a datagram is to the application; a hello is to be answered.
    pub(super) fn event(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Event> {
        if let Some(number) = self.numbers.get(&from) {
            return (datagram != HELLO).then(|| Event::Message(*number, lane(datagram)));
        }
        let number = self.addresses.len() as u32;
        self.numbers.insert(from, number);
        self.addresses.push(from);
        Some(Event::Connected(number))
    }
}

struct Bare {
    pace: Pace,
    socket: UdpSocket,
    roll: Roll,
    buffer: Vec<u8>,
}

fn serve(pace: Pace) -> Result<(Box<dyn Server>, String), String> {
    let socket = sockets::of_server()?;
    let address = socket.local_addr().map_err(told)?.to_string();
    let buffer = vec![0; DATAGRAM_LEN_MAX];
    let bare = Bare { pace, socket, roll: Roll::default(), buffer };
    Ok((Box::new(bare), address))
}

impl Server for Bare {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut self.buffer) else {
                match self.pace {
                    Pace::Arrival if sockets::wait(&self.socket, deadline) => continue,
                    Pace::Arrival => {}
                    Pace::Tick => sockets::sleep_until(deadline),
                }
                return None;
            };
            let datagram = &self.buffer[..len];
            if datagram == HELLO {
                _ = self.socket.send_to(HELLO, from);
            }
            if let Some(event) = self.roll.event(from, datagram) {
                payload.clear();
                payload.extend_from_slice(datagram);
                return Some(event);
            }
        }
    }

    fn send(&mut self, to: u32, _: Lane, payload: &[u8]) -> bool {
        self.socket.send_to(payload, self.roll.addresses[to as usize]).is_ok()
    }
}

/// Clients that say hello and then send datagrams: those of each bare server.
struct BareClients {
    nest: Nest,
    to: SocketAddr,
    /// When each said hello last; none once it was answered.
    hellos: Vec<Option<Instant>>,
    buffer: Vec<u8>,
}

pub(super) fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let to = invitation.parse().map_err(told)?;
    let buffer = vec![0; DATAGRAM_LEN_MAX];
    Ok(Box::new(BareClients { nest: Nest::new(trial.first)?, to, hellos: Vec::new(), buffer }))
}

impl Clients for BareClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        self.nest.open(self.to)?;
        self.hellos.push(Some(Instant::now()));
        self.nest.send(client, HELLO);
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            let (client, len) = self.nest.receive(deadline, &mut self.buffer)?;
            let datagram = &self.buffer[..len];
            if datagram != HELLO {
                payload.clear();
                payload.extend_from_slice(datagram);
                return Some(Event::Message(client, lane(datagram)));
            }
            if self.hellos[client as usize].take().is_some() {
                return Some(Event::Connected(client));
            }
        }
    }

    fn send(&mut self, from: u32, _: Lane, payload: &[u8]) -> bool {
        self.nest.send(from, payload)
    }

    fn tick(&mut self, client: u32) {
        let hello = &mut self.hellos[client as usize];
        if hello.is_some_and(|at| at.elapsed() > HELLO_AGAIN) {
            *hello = Some(Instant::now());
            self.nest.send(client, HELLO);
        }
    }
}
