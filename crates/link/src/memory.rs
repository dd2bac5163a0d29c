//! A transport without a protocol: frames in the clear, nothing repeated but the dial.
//!
//! It is for tests of what lives above the seam and for measurements of a session's own cost. On a
//! network that loses datagrams it loses messages, and anyone can speak for anyone.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::lane::Lane;
use crate::reason::{Reason, Refusal, RefusalCode};
use crate::rng::{KeyedState, Rng};
use crate::slots::Slots;
use crate::time::Time;
use crate::transport::{
    Control, Counter, DialError, LinkEvent, LinkId, LinkStats, Message, Outgoing, Port, SendError,
    Transmit, Transport, Volume,
};

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const BYE: u8 = 3;
const MESSAGE: u8 = 4;
const LOGIN: u8 = 5;
const LOGIN_ACCEPTED: u8 = 6;
const LOGIN_REFUSED: u8 = 7;
const BEAT: u8 = 8;
const BEAT_ANSWER: u8 = 9;
const LOGIN_ASKED: u8 = 10;
const LOGIN_AGAIN: u8 = 11;

/// How often a dial that is not answered is repeated.
const HELLO_INTERVAL: Duration = Duration::from_millis(100);

/// See the [module](self).
#[derive(Debug)]
pub struct Memory {
    links: Slots<Link>,
    by_peer: HashMap<(SocketAddr, u32), LinkId, KeyedState>,
    dialing: Vec<LinkId>,
    events: VecDeque<LinkEvent>,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    next_conversation: u32,
    dropped: u64,
}

#[derive(Debug)]
struct Link {
    address: SocketAddr,
    conversation: u32,
    stage: Stage,
    received: Volume,
    sent: Volume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialing { again_at: Time },
    Asked,
    Up,
}

impl Memory {
    /// A transport that can dial and be dialed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            links: Slots::new(&mut rng),
            by_peer: HashMap::with_hasher(KeyedState::new(&mut rng)),
            dialing: Vec::new(),
            events: VecDeque::new(),
            outbox: VecDeque::new(),
            // A peer that is started again must not be taken for the one it was.
            next_conversation: rng.next_u64() as u32,
            dropped: 0,
        }
    }

    fn open(&mut self, address: SocketAddr, conversation: u32, stage: Stage) -> LinkId {
        let (received, sent) = (Volume::default(), Volume::default());
        let link = Link { address, conversation, stage, received, sent };
        let id = LinkId(self.links.insert_with(|_| link));
        self.by_peer.insert((address, conversation), id);
        id
    }

    fn forget(&mut self, link: LinkId) -> Option<Link> {
        let gone = self.links.remove(link.0)?;
        self.by_peer.remove(&(gone.address, gone.conversation));
        self.dialing.retain(|other| *other != link);
        Some(gone)
    }

    fn put(&mut self, link: LinkId, tag: u8, body: &[&[u8]]) -> Result<(), SendError> {
        let link = self.links.get_mut(link.0).ok_or(SendError::NotUp)?;
        if tag >= MESSAGE && link.stage != Stage::Up {
            return Err(SendError::NotUp);
        }
        let frame = frame(tag, link.conversation, body);
        link.sent.add(frame.len());
        self.outbox.push_back((link.address, frame));
        Ok(())
    }

    fn on_frame(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<()> {
        let mut rest = datagram;
        let (tag, conversation) = (u8::from_le_bytes(take(&mut rest)?), take_u32(&mut rest)?);
        let known = self.by_peer.get(&(from, conversation)).copied();
        let Some(link) = known else {
            (tag == HELLO).then_some(())?;
            let link = self.open(from, conversation, Stage::Asked);
            self.events.push_back(LinkEvent::Asked { link, address: from, resumes: None });
            return Some(());
        };
        let entry = self.links.get_mut(link.0)?;
        entry.received.add(datagram.len());
        match (tag, entry.stage) {
            (HELLO, Stage::Up) => return self.put(link, WELCOME, &[]).ok(),
            (HELLO, _) => return Some(()),
            (WELCOME, Stage::Dialing { .. }) => {
                entry.stage = Stage::Up;
                self.dialing.retain(|other| *other != link);
                self.events.push_back(LinkEvent::Up { link, address: from, resumes: None });
                return Some(());
            }
            (BYE, _) => {
                self.forget(link);
                let reason = take_farewell(rest);
                self.events.push_back(LinkEvent::Lost { link, reason });
                return Some(());
            }
            (_, Stage::Up) => {}
            _ => return None,
        }
        self.events.push_back(decode(link, tag, rest)?);
        Some(())
    }
}

impl Transport for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn handle_datagram(&mut self, _: Time, _: Port, from: SocketAddr, datagram: &[u8]) {
        if self.on_frame(from, datagram).is_none() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        for link in self.dialing.clone() {
            let Some(entry) = self.links.get_mut(link.0) else { continue };
            if matches!(entry.stage, Stage::Dialing { again_at } if again_at <= now) {
                entry.stage = Stage::Dialing { again_at: now + HELLO_INTERVAL };
                self.put(link, HELLO, &[]).ok();
            }
        }
    }

    fn poll_transmit(&mut self, _: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        let (to, bytes) = self.outbox.pop_front()?;
        *datagram = bytes;
        Some(Transmit::unmarked(Port(0), to))
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let stages = self.dialing.iter().filter_map(|link| Some(self.links.get(link.0)?.stage));
        stages
            .filter_map(|stage| match stage {
                Stage::Dialing { again_at } => Some(again_at),
                Stage::Asked | Stage::Up => None,
            })
            .min()
    }

    fn dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        _: Option<LinkId>,
    ) -> Result<LinkId, DialError> {
        let conversation = self.next_conversation;
        self.next_conversation = self.next_conversation.wrapping_add(1);
        let link = self.open(address, conversation, Stage::Dialing { again_at: now });
        self.dialing.push(link);
        self.handle_timeout(now);
        Ok(link)
    }

    fn accept(&mut self, _: Time, link: LinkId) {
        let Some(entry) = self.links.get_mut(link.0) else { return };
        entry.stage = Stage::Up;
        let address = entry.address;
        self.put(link, WELCOME, &[]).ok();
        self.events.push_back(LinkEvent::Up { link, address, resumes: None });
    }

    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal) {
        self.close(now, link, Some(refusal));
    }

    fn send(&mut self, _: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        let Outgoing { kind, lane, payload, notice, .. } = message;
        if notice.is_some() {
            return Err(SendError::NoNotice);
        }
        debug_assert!(Lane::ALL.contains(&lane), "every lane is the same here");
        self.put(link, MESSAGE, &[&kind.to_le_bytes(), payload])
    }

    fn control(&mut self, _: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        match control {
            Control::Login { identity, payload } | Control::LoginAgain { identity, payload } => {
                let len = u32::try_from(identity.len()).unwrap_or(u32::MAX);
                let is_first = matches!(control, Control::Login { .. });
                let tag = if is_first { LOGIN } else { LOGIN_AGAIN };
                self.put(link, tag, &[&len.to_le_bytes(), identity, payload])
            }
            Control::LoginAccepted { server_tick, payload } => {
                self.put(link, LOGIN_ACCEPTED, &[&server_tick.to_le_bytes(), payload])
            }
            Control::LoginRefused(refusal) => {
                self.put(link, LOGIN_REFUSED, &[&refusal_bytes(refusal)])
            }
            Control::LoginAsked { within } => {
                let millis = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
                self.put(link, LOGIN_ASKED, &[&millis.to_le_bytes()])
            }
            Control::Beat { beat } => self.put(link, BEAT, &[&beat.to_le_bytes()]),
            Control::BeatAnswer { beat, server_tick } => {
                self.put(link, BEAT_ANSWER, &[&beat.to_le_bytes(), &server_tick.to_le_bytes()])
            }
        }
    }

    fn close(&mut self, _: Time, link: LinkId, farewell: Option<&Refusal>) {
        self.put(link, BYE, &[&farewell.map(refusal_bytes).unwrap_or_default()]).ok();
        self.forget(link);
    }

    fn abandon(&mut self, _: Time, link: LinkId) {
        self.forget(link);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        let link = self.links.get(link.0)?;
        Some(LinkStats { received: link.received, sent: link.sent, ..LinkStats::default() })
    }

    fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "memory_dropped", value: self.dropped }]
    }
}

fn frame(tag: u8, conversation: u32, body: &[&[u8]]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend(conversation.to_le_bytes());
    body.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

fn decode(link: LinkId, tag: u8, mut rest: &[u8]) -> Option<LinkEvent> {
    let control = match tag {
        MESSAGE => {
            let kind = u16::from_le_bytes(take(&mut rest)?);
            let message = Message { kind, payload: rest.into() };
            return Some(LinkEvent::Message { link, message });
        }
        LOGIN | LOGIN_AGAIN => {
            let len = usize::try_from(take_u32(&mut rest)?).ok()?;
            let (identity, payload) = rest.split_at_checked(len)?;
            let (identity, payload) = (identity.to_vec(), payload.to_vec());
            match tag {
                LOGIN => Control::Login { identity, payload },
                _ => Control::LoginAgain { identity, payload },
            }
        }
        LOGIN_ACCEPTED => {
            let server_tick = i64::from_le_bytes(take(&mut rest)?);
            Control::LoginAccepted { server_tick, payload: rest.to_vec() }
        }
        LOGIN_REFUSED => Control::LoginRefused(take_refusal(rest)?),
        LOGIN_ASKED => {
            Control::LoginAsked { within: Duration::from_millis(take_u32(&mut rest)?.into()) }
        }
        BEAT => Control::Beat { beat: take_u32(&mut rest)? },
        BEAT_ANSWER => Control::BeatAnswer {
            beat: take_u32(&mut rest)?,
            server_tick: i64::from_le_bytes(take(&mut rest)?),
        },
        _ => return None,
    };
    Some(LinkEvent::Control { link, control })
}

fn refusal_bytes(refusal: &Refusal) -> Vec<u8> {
    let retry = refusal
        .retry_after
        .map_or(u64::MAX, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX - 1));
    let mut bytes = refusal.code.number().to_le_bytes().to_vec();
    bytes.extend(retry.to_le_bytes());
    bytes.extend_from_slice(refusal.text.as_bytes());
    bytes
}

fn take_refusal(mut rest: &[u8]) -> Option<Refusal> {
    let code = RefusalCode::from_number(u16::from_le_bytes(take(&mut rest)?));
    let retry = u64::from_le_bytes(take(&mut rest)?);
    let refusal = Refusal::new(code, String::from_utf8_lossy(rest).as_ref());
    Some(match retry {
        u64::MAX => refusal,
        millis => refusal.retry_after(Duration::from_millis(millis)),
    })
}

fn take_farewell(rest: &[u8]) -> Reason {
    take_refusal(rest).map_or(Reason::PeerLeft, Reason::Refused)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}
