//! A network with a seed and switches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::rng::Rng;

/// A datagram and who sent it.
type Sent = (SocketAddr, Vec<u8>);

/// What is on its way, and what happens to it there.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) delay: Duration,
    /// Each datagram takes up to this much longer, so that they overtake one another.
    pub(crate) jitter: Duration,
    pub(crate) loss_permille: u64,
    pub(crate) duplicate_permille: u64,
    /// From these addresses nothing leaves.
    cut_from: BTreeSet<SocketAddr>,
    /// To these addresses nothing comes.
    cut_to: BTreeSet<SocketAddr>,
    /// The memory transport's number for the newest link of each sender, to forge its datagrams.
    conversations: BTreeMap<SocketAddr, [u8; 4]>,
    under_way: BTreeMap<(SocketAddr, Time), VecDeque<Sent>>,
    rng: Rng,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss_permille: 0,
            duplicate_permille: 0,
            cut_from: BTreeSet::new(),
            cut_to: BTreeSet::new(),
            conversations: BTreeMap::new(),
            under_way: BTreeMap::new(),
            rng: Rng::new(seed),
        }
    }

    /// Nothing goes to or from this address any more.
    pub(crate) fn cut(&mut self, address: SocketAddr) {
        self.cut_from(address);
        self.cut_to(address);
    }

    pub(crate) fn cut_from(&mut self, address: SocketAddr) {
        self.cut_from.insert(address);
    }

    pub(crate) fn cut_to(&mut self, address: SocketAddr) {
        self.cut_to.insert(address);
    }

    /// Every cut is undone.
    pub(crate) fn mend(&mut self) {
        self.cut_from.clear();
        self.cut_to.clear();
    }

    /// From here on nothing is lost, doubled or overtaken, and every cut is undone.
    pub(crate) fn heal(&mut self) {
        self.mend();
        (self.jitter, self.loss_permille, self.duplicate_permille) = (Duration::ZERO, 0, 0);
    }

    pub(crate) fn send(&mut self, now: Time, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if let Some(number) = datagram.get(1..5).and_then(|bytes| bytes.try_into().ok()) {
            self.conversations.insert(from, number);
        }
        let copies = 1 + u32::from(self.rng.below(1_000) < self.duplicate_permille);
        for _ in 0..copies {
            let is_lost = self.rng.below(1_000) < self.loss_permille;
            let arrives_at = now + self.delay + self.rng.up_to(self.jitter);
            if !is_lost && !self.cut_from.contains(&from) && !self.cut_to.contains(&to) {
                let arrivals = self.under_way.entry((to, arrives_at)).or_default();
                arrivals.push_back((from, datagram.to_vec()));
            }
        }
    }

    /// The memory transport's number for the link on which `from` last sent.
    pub(crate) fn last_conversation(&self, from: SocketAddr) -> Option<[u8; 4]> {
        self.conversations.get(&from).copied()
    }

    /// When the next datagram for this address arrives.
    pub(crate) fn next_to(&self, to: SocketAddr) -> Option<Time> {
        let mut arrivals = self.under_way.range((to, Time::ZERO)..);
        arrivals.next().filter(|((address, _), _)| *address == to).map(|((_, at), _)| *at)
    }

    /// A datagram that arrived for this address, and who sent it.
    pub(crate) fn take(&mut self, now: Time, to: SocketAddr) -> Option<Sent> {
        let at = self.next_to(to).filter(|at| *at <= now)?;
        let arrivals = self.under_way.get_mut(&(to, at))?;
        let taken = arrivals.pop_front();
        if arrivals.is_empty() {
            self.under_way.remove(&(to, at));
        }
        taken
    }
}
