//! Every message that was sent and that was delivered.
//!
//! A message says by itself which one it is: in which *epoch* it was sent (one login of one side,
//! from `LoginSucceeded` to whatever ends it), on which lane and under which number. What follows
//! is drawn from these, so a message that was altered or put together from two is known.

use moorline_link::Lane;
use moorline_link::rng::Rng;
use moorline_session::Side;

use super::{Verdict, holds};
use crate::carrier::Promises;

/// The kind of the reliable messages of a simulation.
pub(crate) const RELIABLE: u16 = 100;
/// The kind of those of which the newest counts.
pub(crate) const LATEST: u16 = 101;
/// How many things there are to be the newest of.
pub(crate) const KEYS: usize = 3;

/// Epoch, number, lane and key; what comes after them is drawn.
const HEAD_LEN: usize = 10;
/// Few messages are long: a long one takes several datagrams.
const LONG_LEN_MAX: u64 = 5_000;

/// One login of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EpochId(u32);

#[derive(Debug)]
struct Epoch {
    side: Side,
    user: usize,
    /// The epoch of the other side that was heard in this one, and that heard this one.
    hears: Option<EpochId>,
    heard_by: Option<EpochId>,
    is_open: bool,
    /// It goes on with another epoch of the host than it began with.
    is_muddled: bool,
    /// The client's address changed in it.
    has_moved: bool,
    reliable: Count,
    latest: [Count; KEYS],
}

/// Numbers begin at zero; these are the next ones.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    sent: u32,
    received: u32,
}

/// A message of a simulation: which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    epoch: EpochId,
    number: u32,
    kind: u16,
    key: u8,
}

/// All epochs of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    epochs: Vec<Epoch>,
    promises: Promises,
    pub(crate) reliable_delivered: u64,
    pub(crate) latest_delivered: u64,
}

impl Ledger {
    pub(crate) const fn new(promises: Promises) -> Self {
        Self { epochs: Vec::new(), promises, reliable_delivered: 0, latest_delivered: 0 }
    }

    pub(crate) fn begin(&mut self, side: Side, user: usize) -> EpochId {
        self.epochs.push(Epoch {
            side,
            user,
            hears: None,
            heard_by: None,
            is_open: true,
            is_muddled: false,
            has_moved: false,
            reliable: Count::default(),
            latest: [Count::default(); KEYS],
        });
        EpochId(self.epochs.len() as u32 - 1)
    }

    pub(crate) fn end(&mut self, epoch: EpochId) {
        self.epochs[epoch.0 as usize].is_open = false;
    }

    /// The address of the client changed.
    pub(crate) fn on_moved(&mut self, epoch: EpochId) {
        self.epochs[epoch.0 as usize].has_moved = true;
    }

    /// The next message of this kind and key.
    pub(crate) fn next(&self, epoch: EpochId, kind: u16, key: u8) -> Vec<u8> {
        let own = &self.epochs[epoch.0 as usize];
        let count = if kind == LATEST { own.latest[usize::from(key)] } else { own.reliable };
        Head { epoch, number: count.sent, kind, key }.message()
    }

    /// The message that was the next one was taken for sending.
    pub(crate) fn sent(&mut self, epoch: EpochId, kind: u16, key: u8) {
        let own = &mut self.epochs[epoch.0 as usize];
        let count =
            if kind == LATEST { &mut own.latest[usize::from(key)] } else { &mut own.reliable };
        count.sent += 1;
    }

    /// A message was delivered in an epoch of the other side.
    pub(crate) fn receive(
        &mut self,
        by: EpochId,
        (kind, lane): (u16, Lane),
        payload: &[u8],
    ) -> Verdict {
        let head = Head::parse(kind, payload).ok_or_else(|| {
            format!("{by:?} got a message that nobody sent, of {} bytes", payload.len())
        })?;
        let expected = if kind == LATEST { Lane::Latest } else { Lane::ReliableOrdered };
        holds(lane == expected, || format!("{head:?} came on {lane:?}"))?;
        self.meet(by, head)?;
        let from = &mut self.epochs[head.epoch.0 as usize];
        let count = match kind {
            LATEST => &mut from.latest[usize::from(head.key)],
            _ => &mut from.reliable,
        };
        holds(head.number < count.sent, || format!("{head:?} was not sent yet"))?;
        let next = count.received;
        count.received = next.max(head.number + 1);
        match kind {
            LATEST => self.latest_delivered += 1,
            _ => self.reliable_delivered += 1,
        }
        let ours = &self.epochs[by.0 as usize];
        let from = &self.epochs[head.epoch.0 as usize];
        let is_muddled = ours.is_muddled || from.is_muddled;
        // The sync lane of KCP may begin a second time then.
        let may_repeat = kind == LATEST && (ours.has_moved || from.has_moved);
        let is_excused = !self.promises.tells_links_apart && (is_muddled || may_repeat);
        if !self.promises.delivers || is_excused {
            return Ok(());
        }
        let is_right = if kind == LATEST { head.number >= next } else { head.number == next };
        holds(is_right, || format!("{by:?} got {head:?} where {next} was to come"))
    }

    /// Two epochs that hear each other are of one user, of two sides, and of one link: none hears
    /// two, and none is heard by two.
    fn meet(&mut self, by: EpochId, head: Head) -> Verdict {
        let count = self.epochs.len();
        let from = head.epoch;
        holds((from.0 as usize) < count, || format!("{head:?} is of no epoch"))?;
        let (ours, theirs) = (&self.epochs[by.0 as usize], &self.epochs[from.0 as usize]);
        let are_peers = ours.side != theirs.side && ours.user == theirs.user;
        holds(are_peers, || format!("{by:?} {ours:?} got {head:?} of {theirs:?}"))?;
        if !self.promises.delivers {
            return Ok(());
        }
        let mut muddled = Vec::new();
        let others = [ours.hears.filter(|other| *other != from), theirs.heard_by];
        let others = others.into_iter().flatten().filter(|other| *other != by);
        for other in others.collect::<Vec<_>>() {
            let before = &self.epochs[other.0 as usize];
            let is_likely = before.side == Side::Host || !before.is_open;
            let is_muddled = ours.is_muddled || theirs.is_muddled;
            let is_excused = !self.promises.tells_links_apart && (is_likely || is_muddled);
            holds(is_excused, || format!("{by:?} {ours:?} got {head:?} of {theirs:?}"))?;
            muddled.extend([by, from, other]);
        }
        muddled.into_iter().for_each(|id| self.epochs[id.0 as usize].is_muddled = true);
        self.epochs[by.0 as usize].hears = Some(from);
        self.epochs[from.0 as usize].heard_by = Some(by);
        Ok(())
    }

    /// Whether all that was sent in an epoch has arrived.
    pub(crate) fn check_complete(&self, epoch: EpochId) -> Verdict {
        let own = &self.epochs[epoch.0 as usize];
        let is_complete = |count: &Count| count.received == count.sent;
        let Promises { delivers, newest_arrives, .. } = self.promises;
        let is_complete = (!delivers || is_complete(&own.reliable))
            && (!newest_arrives || own.latest.iter().all(is_complete));
        holds(own.is_muddled || is_complete, || format!("{epoch:?} has not arrived: {own:?}"))
    }

    /// Whether all that was sent in epochs that go on has arrived.
    pub(crate) fn check_open(&self) -> Verdict {
        let epochs = self.epochs.iter().zip(0..);
        let mut open = epochs.filter(|(epoch, _)| epoch.is_open);
        open.try_for_each(|(_, id)| self.check_complete(EpochId(id)))
    }
}

impl Head {
    fn message(self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEAD_LEN);
        message.extend(self.epoch.0.to_le_bytes());
        message.extend(self.number.to_le_bytes());
        message.extend([u8::from(self.kind == LATEST), self.key]);
        let whole = u64::from(self.epoch.0) << 32 | u64::from(self.number);
        let mut rng = Rng::new(whole ^ u64::from(self.kind) << 48 ^ u64::from(self.key) << 60);
        let longest = if rng.below(64) == 0 { LONG_LEN_MAX } else { 120 };
        let len = HEAD_LEN + rng.below(longest) as usize;
        while message.len() < len {
            message.extend(rng.next_u64().to_le_bytes());
        }
        message.truncate(len);
        message
    }

    /// `None` where nobody can have written this.
    fn parse(kind: u16, payload: &[u8]) -> Option<Self> {
        let (epoch, rest) = payload.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let ([is_latest, key], _) = rest.split_first_chunk()?;
        let own = if *is_latest == 1 { LATEST } else { RELIABLE };
        let (epoch, number) = (EpochId(u32::from_le_bytes(*epoch)), u32::from_le_bytes(*number));
        let head = Self { epoch, number, kind, key: *key };
        let is_own = own == kind && usize::from(*key) < KEYS && head.message() == payload;
        is_own.then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Promises = Promises {
        notices_damage: true,
        delivers: true,
        newest_arrives: true,
        tells_links_apart: true,
        knows_peers_by_key: true,
        never_amplifies: true,
        continues: true,
    };

    /// A client and a host that are logged in with each other, and what the client sent.
    fn pair() -> (Ledger, EpochId, EpochId, Vec<Vec<u8>>) {
        let mut ledger = Ledger::new(ALL);
        let (client, host) = (ledger.begin(Side::Client, 4), ledger.begin(Side::Host, 4));
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(ledger.next(client, RELIABLE, 0));
            ledger.sent(client, RELIABLE, 0);
        }
        (ledger, client, host, sent)
    }

    const ORDERED: (u16, Lane) = (RELIABLE, Lane::ReliableOrdered);

    #[test]
    fn what_arrives_once_and_in_order_is_right_and_complete_with_the_last() {
        let (mut ledger, client, host, sent) = pair();
        for message in &sent {
            assert!(ledger.check_complete(client).is_err());
            assert_eq!(ledger.receive(host, ORDERED, message), Ok(()));
        }
        assert_eq!(ledger.check_open(), Ok(()));
    }

    #[test]
    fn one_twice_one_left_out_and_one_too_early_are_noticed() {
        for order in [[0, 0], [0, 2], [1, 0]] {
            let (mut ledger, _, host, sent) = pair();
            let wrong =
                order.into_iter().any(|at| ledger.receive(host, ORDERED, &sent[at]).is_err());
            assert!(wrong, "{order:?}");
        }
    }

    #[test]
    fn an_altered_an_unsent_and_a_strangers_message_are_noticed() {
        let (mut ledger, client, host, sent) = pair();
        let mut altered = sent[0].clone();
        altered[HEAD_LEN - 1] ^= 1;
        assert!(ledger.receive(host, ORDERED, &altered).is_err());
        let unsent = ledger.next(client, RELIABLE, 0);
        assert!(ledger.receive(host, ORDERED, &unsent).is_err());
        let other = ledger.begin(Side::Host, 5);
        assert!(ledger.receive(other, ORDERED, &sent[0]).is_err());
    }

    #[test]
    fn what_was_sent_in_one_login_is_not_delivered_in_two() {
        let (mut ledger, client, host, sent) = pair();
        assert_eq!(ledger.receive(host, ORDERED, &sent[0]), Ok(()));
        let again = ledger.begin(Side::Host, 4);
        assert!(ledger.receive(again, ORDERED, &sent[1]).is_err());
        let client_again = ledger.begin(Side::Client, 4);
        let late = ledger.next(client_again, RELIABLE, 0);
        ledger.sent(client_again, RELIABLE, 0);
        assert!(ledger.receive(host, ORDERED, &late).is_err(), "of {client:?} so far");
    }

    #[test]
    fn an_older_state_after_a_newer_one_is_noticed_and_a_skipped_one_is_not() {
        let mut ledger = Ledger::new(ALL);
        let (client, host) = (ledger.begin(Side::Client, 1), ledger.begin(Side::Host, 1));
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(ledger.next(client, LATEST, 2));
            ledger.sent(client, LATEST, 2);
        }
        let latest = (LATEST, Lane::Latest);
        assert_eq!(ledger.receive(host, latest, &sent[1]), Ok(()));
        assert!(ledger.receive(host, latest, &sent[0]).is_err());
    }
}
