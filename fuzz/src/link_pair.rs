//! A pair of links, driven by random operations over a bad path, beside what was promised of each
//! lane.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moorline_link::{
    Ecn, Lane, LinkEvent, LinkId, Origin, Outgoing, Refusal, RefusalCode, Resumes, SendError, Time,
    Transport,
};
use moorline_proto::Endpoint;

use crate::handshake::{CLIENT, HOST, PORT, linked};
use crate::input::Input;

/// How many datagrams are on their way at most; the oldest is lost.
const ON_WAY_MAX: usize = 64;
/// How long a path must be good until all that was promised has arrived.
const HEALING: Duration = Duration::from_secs(40);

/// A message as the sender remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    lane: u8,
    key: u8,
    index: u32,
}

impl Name {
    const LEN: usize = 6;

    fn lane(self) -> Lane {
        match self.lane {
            0 => Lane::ReliableOrdered,
            1 => Lane::ReliableUnordered,
            2 => Lane::Latest,
            _ => Lane::Unreliable,
        }
    }

    /// The whole message: its name, and a filling that the name tells.
    fn payload(self, len: usize) -> Vec<u8> {
        let mut payload = vec![self.lane, self.key];
        payload.extend_from_slice(&self.index.to_be_bytes());
        let filling = (0..len).map(|at| (at as u8).wrapping_mul(31) ^ self.index as u8 ^ self.key);
        payload.extend(filling);
        payload
    }

    fn of(payload: &[u8]) -> Self {
        let (head, rest) = payload.split_at(Self::LEN);
        let name = Self {
            lane: head[0],
            key: head[1],
            index: u32::from_be_bytes([head[2], head[3], head[4], head[5]]),
        };
        assert_eq!(payload, name.payload(rest.len()), "a message is what was sent");
        name
    }
}

/// What one end sent, and what the other got of it.
#[derive(Debug, Default)]
struct Flow {
    sent: BTreeSet<Name>,
    got: BTreeSet<Name>,
    next: BTreeMap<(u8, u8), u32>,
    newest: BTreeMap<(u8, u8), u32>,
}

impl Flow {
    fn name(&self, lane: u8, key: u8) -> Name {
        let index = self.next.get(&(lane, key)).copied().unwrap_or(0);
        Name { lane, key, index }
    }

    fn took(&mut self, name: Name) {
        self.sent.insert(name);
        self.next.insert((name.lane, name.key), name.index + 1);
    }

    fn deliver(&mut self, name: Name) {
        assert!(self.sent.contains(&name), "{name:?} was never sent");
        assert!(self.got.insert(name), "{name:?} came twice");
        let newest = self.newest.insert((name.lane, name.key), name.index);
        match name.lane() {
            // The 24 channels are the keys, so within a key nothing is missing.
            Lane::ReliableOrdered => {
                assert_eq!(name.index, newest.map_or(0, |newest| newest + 1), "{name:?}");
            }
            Lane::Latest => {
                assert!(newest.is_none_or(|newest| newest < name.index), "{name:?} came late");
            }
            _ => {}
        }
    }

    /// After a good path for long enough.
    fn assert_complete(&self) {
        for name in &self.sent {
            let is_newest = self.next.get(&(name.lane, name.key)) == Some(&(name.index + 1));
            let is_promised = name.lane < 2 || (name.lane == 2 && is_newest);
            assert!(!is_promised || self.got.contains(name), "{name:?} never came");
        }
    }
}

struct Pair {
    ends: [Endpoint; 2],
    links: [LinkId; 2],
    flows: [Flow; 2],
    on_way: Vec<(usize, Vec<u8>)>,
    now: Time,
    is_over: bool,
}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (client, host, of_client, of_host, now) = linked();
    let flows = [Flow::default(), Flow::default()];
    let (ends, links) = ([client, host], [of_client, of_host]);
    let mut pair = Pair { ends, links, flows, on_way: Vec::new(), now, is_over: false };
    while let (false, Some(op)) = (pair.is_over, input.byte()) {
        if pair.operate(op, &mut input).is_none() {
            break;
        }
        pair.collect();
    }
    pair.heal();
    if !pair.is_over {
        pair.flows.iter().for_each(Flow::assert_complete);
    }
}

impl Pair {
    fn operate(&mut self, op: u8, input: &mut Input<'_>) -> Option<()> {
        match op & 0x0f {
            0..=4 => self.send(usize::from(op >> 4 & 1), op, input)?,
            5..=8 => self.arrive(usize::from(input.byte()?)),
            9 => self.lose(usize::from(input.byte()?)),
            10 => {
                let copy = self.pick(usize::from(input.byte()?)).cloned();
                self.on_way.extend(copy);
            }
            11 => self.damage(usize::from(input.byte()?), input.number()?),
            12..=14 => self.wait(Duration::from_millis(1 << (op >> 4 & 7))),
            _ if op == 0xff => self.close(),
            _ if op & 0x80 != 0 => self.resume(),
            _ => self.wait(Duration::from_millis(1_000)),
        }
        Some(())
    }

    fn send(&mut self, from: usize, op: u8, input: &mut Input<'_>) -> Option<()> {
        let (key, size) = (input.byte()? % 24, usize::from(input.byte()?));
        let len = if op & 0x40 == 0 { size } else { size * 64 };
        let name = self.flows[from].name(op >> 4 >> 2 & 3, key);
        let payload = name.payload(len);
        let message = Outgoing {
            kind: 7,
            lane: name.lane(),
            key: key.into(),
            payload: &payload,
            notice: None,
        };
        match self.ends[from].send(self.now, self.links[from], message) {
            Ok(()) => self.flows[from].took(name),
            Err(SendError::Full | SendError::TooLarge { .. }) => {}
            Err(error) => panic!("the link is up: {error}"),
        }
        Some(())
    }

    fn pick(&mut self, at: usize) -> Option<&mut (usize, Vec<u8>)> {
        let count = self.on_way.len();
        self.on_way.get_mut(at % count.max(1))
    }

    fn lose(&mut self, at: usize) {
        if !self.on_way.is_empty() {
            self.on_way.remove(at % self.on_way.len());
        }
    }

    fn damage(&mut self, at: usize, how: u16) {
        if let Some((_, datagram)) = self.pick(at).filter(|(_, datagram)| !datagram.is_empty()) {
            let len = datagram.len();
            if how & 0x8000 == 0 {
                datagram[usize::from(how >> 3) % len] ^= 1 << (how & 7);
            } else {
                datagram.truncate(usize::from(how & 0x7fff) % len);
            }
        }
    }

    fn arrive(&mut self, at: usize) {
        if self.on_way.is_empty() {
            return;
        }
        let (to, mut datagram) = self.on_way.remove(at % self.on_way.len());
        // Some are marked, whether they may be or not.
        let is_marked = datagram.last().is_some_and(|last| last % 4 == 0);
        let ecn = if is_marked { Ecn::Congested } else { Ecn::NotCapable };
        let origin = Origin { from: [HOST, CLIENT][to], ecn };
        self.ends[to].handle_in_place(self.now, PORT, origin, &mut datagram);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
    }

    /// The client takes its link for dead and seeks another.
    fn resume(&mut self) {
        let (now, link) = (self.now, self.links[0]);
        if self.ends[0].keep(now, link) {
            self.ends[0].dial(now, HOST, Some(link)).expect("a client dials");
        }
    }

    fn close(&mut self) {
        let refusal = Refusal::new(RefusalCode::Stopping, "enough");
        self.ends[1].close(self.now, self.links[1], Some(&refusal));
        self.is_over = true;
    }

    /// Takes what both ends say and send.
    fn collect(&mut self) {
        for end in [0, 1] {
            while let Some(event) = self.ends[end].poll_event() {
                match event {
                    LinkEvent::Message { message, .. } => {
                        self.flows[1 - end].deliver(Name::of(&message.payload));
                    }
                    LinkEvent::Asked { link, .. } => self.ends[end].accept(self.now, link),
                    LinkEvent::Up { link, resumes: Some(old), .. } => {
                        assert_eq!(old, Resumes::Lanes(self.links[end]), "it goes on where it was");
                        self.links[end] = link;
                    }
                    // It is told that something may be lost.
                    LinkEvent::Up { .. } | LinkEvent::Lost { .. } => self.is_over = true,
                    _ => {}
                }
            }
            let mut out = Vec::new();
            while self.ends[end].poll_transmit(self.now, &mut out).is_some() {
                self.on_way.push((1 - end, out.clone()));
            }
        }
        let too_many = self.on_way.len().saturating_sub(ON_WAY_MAX);
        self.on_way.drain(..too_many);
    }

    /// The path is good from here on, with a round trip of some milliseconds.
    fn heal(&mut self) {
        let until = self.now + HEALING;
        self.collect();
        while !self.is_over && self.now < until && !self.is_complete() {
            let arriving = std::mem::take(&mut self.on_way);
            for (to, datagram) in arriving {
                self.ends[to].handle_datagram(self.now, PORT, [HOST, CLIENT][to], &datagram);
            }
            self.wait(Duration::from_millis(5));
            self.collect();
        }
    }

    fn is_complete(&self) -> bool {
        self.on_way.is_empty() && self.flows.iter().all(|flow| flow.got.len() == flow.sent.len())
    }
}
