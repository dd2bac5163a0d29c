//! The `kcp` crate, driven by hand on one socket.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kcp::{Kcp, get_conv};

use super::peer_bare::{HELLO, lane};
use super::seam::{Clients, Event, Lane, Peer, Server, told};
use super::sockets::{self, DATAGRAM_LEN_MAX, Nest};
use super::trial::Trial;

/// KCP.
pub(super) const KCP: Peer = Peer {
    name: "kcp",
    settings: "kcp 0.6 driven by hand on one socket: nodelay(1, 10, 2, 1), wnd 256/256, mtu 1400, \
               message mode, datagrams as they come, update() of all conversations every 10 ms \
               and no other flush; no handshake (a message and its answer stand for it), no \
               encryption; unreliable: reliable ordered message (KCP has no other)",
    is_reliable: true,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve,
    join,
};

/// KCP's own interval.
const UPDATE: Duration = Duration::from_millis(10);

/// Segments that may wait in a conversation.
const WAITING_MAX: usize = 1_024;

enum Wire {
    Server(Rc<UdpSocket>, SocketAddr),
    Client(Rc<mio::net::UdpSocket>),
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        // What a full socket does not take is repeated as if it were lost.
        _ = match self {
            Self::Server(socket, to) => socket.send_to(datagram, *to),
            Self::Client(socket) => socket.send(datagram),
        };
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Conversation {
    kcp: Kcp<Wire>,
    is_in: bool,
}

impl Conversation {
    fn new(number: u32, wire: Wire) -> Result<Self, String> {
        let mut kcp = Kcp::new(number, wire);
        kcp.set_nodelay(true, 10, 2, true);
        kcp.set_wndsize(256, 256);
        kcp.set_mtu(1_400).map_err(told)?;
        Ok(Self { kcp, is_in: false })
    }

    fn send(&mut self, payload: &[u8]) -> bool {
        self.kcp.wait_snd() < WAITING_MAX && self.kcp.send(payload).is_ok()
    }
}

/// Conversations by number, and when they were updated.
struct Table {
    conversations: Vec<Option<Conversation>>,
    began: Instant,
    update_at: Instant,
    /// Who may have a message.
    ready: VecDeque<u32>,
}

impl Table {
    fn new() -> Self {
        let now = Instant::now();
        Self { conversations: Vec::new(), began: now, update_at: now, ready: VecDeque::new() }
    }

    fn at(&mut self, number: u32) -> Option<&mut Conversation> {
        self.conversations.get_mut(number as usize)?.as_mut()
    }

    fn insert(&mut self, number: u32, mut it: Conversation) {
        if self.conversations.len() <= number as usize {
            self.conversations.resize_with(number as usize + 1, || None);
        }
        // It takes nothing before its first update.
        _ = it.kcp.update(self.began.elapsed().as_millis() as u32);
        self.conversations[number as usize] = Some(it);
    }

    fn input(&mut self, number: u32, datagram: &[u8]) {
        let is_taken = self.at(number).is_some_and(|it| it.kcp.input(datagram).is_ok());
        if is_taken {
            self.ready.push_back(number);
        }
    }

    fn update(&mut self) {
        let now = Instant::now();
        if now < self.update_at {
            return;
        }
        self.update_at = now + UPDATE;
        let millis = self.began.elapsed().as_millis() as u32;
        for it in self.conversations.iter_mut().flatten() {
            _ = it.kcp.update(millis);
        }
    }

    /// The next message that waits in any of them.
    fn receive(&mut self, payload: &mut Vec<u8>) -> Option<u32> {
        while let Some(number) = self.ready.front().copied() {
            let it = self.at(number)?;
            if let Ok(len) = it.kcp.peeksize() {
                payload.resize(len, 0);
                if it.kcp.recv(payload).is_ok() {
                    return Some(number);
                }
            }
            self.ready.pop_front();
        }
        None
    }

    /// What a message is to the application; a hello is none after the first.
    fn event(&mut self, number: u32, payload: &[u8]) -> Option<Event> {
        let it = self.at(number)?;
        if payload != HELLO {
            return Some(Event::Message(number, lane(payload)));
        }
        let was_in = std::mem::replace(&mut it.is_in, true);
        (!was_in).then_some(Event::Connected(number))
    }
}

struct ByHand {
    socket: Rc<UdpSocket>,
    table: Table,
    buffer: Vec<u8>,
}

fn serve(_: &Trial) -> Result<(Box<dyn Server>, String), String> {
    let socket = Rc::new(sockets::of_server()?);
    let address = socket.local_addr().map_err(told)?.to_string();
    let by_hand = ByHand { socket, table: Table::new(), buffer: vec![0; DATAGRAM_LEN_MAX] };
    Ok((Box::new(by_hand), address))
}

impl Server for ByHand {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            self.table.update();
            while let Some(number) = self.table.receive(payload) {
                if let Some(event) = self.table.event(number, payload) {
                    if matches!(event, Event::Connected(_)) {
                        self.table.at(number)?.send(HELLO);
                    }
                    return Some(event);
                }
            }
            let Ok((len, from)) = self.socket.recv_from(&mut self.buffer) else {
                let is_late = Instant::now() >= deadline;
                let wake = deadline.min(self.table.update_at);
                if !sockets::wait(&self.socket, wake) && is_late {
                    return None;
                }
                continue;
            };
            let number = get_conv(&self.buffer[..len]);
            if self.table.at(number).is_none() {
                let wire = Wire::Server(Rc::clone(&self.socket), from);
                let new = Conversation::new(number, wire);
                self.table.insert(number, new.ok()?);
            }
            self.table.input(number, &self.buffer[..len]);
        }
    }

    fn send(&mut self, to: u32, _: Lane, payload: &[u8]) -> bool {
        self.table.at(to).is_some_and(|it| it.send(payload))
    }
}

struct ByHandClients {
    first: u32,
    nest: Nest,
    table: Table,
    to: SocketAddr,
    buffer: Vec<u8>,
}

fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let (to, buffer) = (invitation.parse().map_err(told)?, vec![0; DATAGRAM_LEN_MAX]);
    Ok(Box::new(ByHandClients {
        nest: Nest::new(trial.first)?,
        first: trial.first,
        table: Table::new(),
        to,
        buffer,
    }))
}

impl Clients for ByHandClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        self.nest.open(self.to)?;
        let wire = Wire::Client(self.nest.sender(client));
        let mut it = Conversation::new(self.first + client, wire)?;
        it.send(HELLO);
        self.table.insert(client, it);
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            self.table.update();
            while let Some(number) = self.table.receive(payload) {
                if let Some(event) = self.table.event(number, payload) {
                    return Some(event);
                }
            }
            let is_late = Instant::now() >= deadline;
            let wake = deadline.min(self.table.update_at);
            match self.nest.receive(wake, &mut self.buffer) {
                Some((client, len)) => self.table.input(client, &self.buffer[..len]),
                None if is_late => return None,
                None => {}
            }
        }
    }

    fn send(&mut self, from: u32, _: Lane, payload: &[u8]) -> bool {
        self.table.at(from).is_some_and(|it| it.send(payload))
    }
}
