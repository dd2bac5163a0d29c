//! What goes wrong in a run, and when: all of it drawn from the seed before the run begins.
//!
//! Each seed enables a part of the faults only ("swarm testing", Groce et al. 2012): where
//! everything fails at once, one fault hides what another would have shown.

use std::time::Duration;

use moorline_link::Time;

use crate::dice::Dice;
use crate::network::{Conditions, Loss, Routers};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident => $word:literal,)+) => {
        /// Something that can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

faults! {
    /// A path is long.
    Delay => "delay",
    /// A path is uneven.
    Jitter => "jitter",
    /// Datagrams are lost, each with the same chance.
    LossEven => "loss-even",
    /// Datagrams are lost in a row.
    LossBursts => "loss-bursts",
    /// Datagrams arrive twice.
    Duplication => "duplication",
    /// Datagrams overtake others.
    Reordering => "reordering",
    /// Datagrams arrive with other bytes.
    Corruption => "corruption",
    /// Datagrams arrive without their end.
    Truncation => "truncation",
    /// Datagrams arrive with the end of another.
    Splicing => "splicing",
    /// A path is narrow, with a queue before it.
    Rate => "rate",
    /// Long datagrams vanish.
    Mtu => "mtu",
    /// Nothing gets from a client to the host.
    CutUp => "cut-up",
    /// Nothing gets from the host to a client.
    CutDown => "cut-down",
    /// A client's address changes under it.
    Rebinding => "rebinding",
    /// Several clients are behind one address.
    SharedAddress => "shared-address",
    /// The host dies without a word and comes back.
    HostKill => "host-kill",
    /// The host stops in order and comes back.
    HostStop => "host-stop",
    /// A client dies without a word and comes back under its name.
    ClientKill => "client-kill",
    /// The host is not scheduled for a while.
    HostSleep => "host-sleep",
    /// A client is not scheduled for a while.
    ClientSleep => "client-sleep",
    /// An application leaves its events lying.
    SlowApplication => "slow-application",
    /// Logins are answered later.
    LateAnswer => "late-answer",
    /// Logins are refused.
    Refusal => "refusal",
    /// A user leaves and comes back.
    Logout => "logout",
    /// The host's application throws a user out.
    Eviction => "eviction",
    /// A name logs in while it is logged in.
    DuplicateLogin => "duplicate-login",
    /// Strangers send nonsense, or what nearly made sense.
    Garbage => "garbage",
    /// Strangers send what others sent before.
    Replay => "replay",
    /// The host has room for hardly more than those who want in.
    TightLimits => "tight-limits",
    /// A user has to log in again, while the session goes on.
    LoginAgain => "login-again",
    /// Routers mark datagrams, or do what they should not to those that they may mark.
    Routers => "routers",
}

impl Fault {
    /// What is drawn for a fault that came late to the list shifts nothing that is drawn after it,
    /// so that seeds which found something still find it.
    const fn dice<'a>(self, dice: &'a mut Dice, apart: &'a mut Dice) -> &'a mut Dice {
        if matches!(self, Self::Routers) { apart } else { dice }
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u64);

impl Faults {
    /// No fault at all.
    pub const NONE: Self = Self(0);

    /// Whether `fault` is one of them.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u64) != 0
    }

    /// The same set with `fault`.
    pub const fn add(&mut self, fault: Fault) {
        self.0 |= 1 << fault as u64;
    }

    /// Those that are in it, in the order of [`Fault::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }

    /// A part of all faults: few of them, some or most.
    /// What a seed enables of the faults that a run may have.
    pub(crate) fn draw(dice: &mut Dice, scope: Scope) -> Self {
        if scope == Scope::Links {
            return Self::draw_deadly(dice);
        }
        let chance = dice.pick(&[100, 250, 250, 400, 700]);
        let mut drawn = Self::NONE;
        for fault in Fault::ALL {
            let mut apart = dice.clone();
            if fault.dice(dice, &mut apart).permille(chance) {
                drawn.add(*fault);
            }
        }
        drawn
    }
}

impl Faults {
    /// Paths that are cut for seconds, and some of what makes it harder to tell.
    fn draw_deadly(dice: &mut Dice) -> Self {
        let mut drawn = Self::NONE;
        drawn.add(Fault::CutUp);
        drawn.add(Fault::CutDown);
        for fault in [
            Fault::Delay,
            Fault::LossEven,
            Fault::LossBursts,
            Fault::Duplication,
            Fault::Reordering,
            Fault::Corruption,
            Fault::Mtu,
            Fault::Rebinding,
            Fault::ClientSleep,
            Fault::HostSleep,
            Fault::Replay,
        ] {
            if dice.permille(300) {
                drawn.add(fault);
            }
        }
        drawn
    }
}

/// Which faults a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All there are.
    #[default]
    All,
    /// Those that links die of, time and again, while all processes live.
    Links,
}

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Host,
    Client(usize),
}

/// How the host's application answers logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The longest it takes.
    pub(crate) late: Duration,
    pub(crate) refused_permille: u64,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// The path of a client changes, there and back.
    Weather {
        client: usize,
        there_and_back: Box<[Conditions; 2]>,
    },
    /// A client's path is cut one way or both, or mended.
    Cut {
        client: usize,
        up: bool,
        down: bool,
    },
    Rebind {
        client: usize,
    },
    KillHost {
        away: Duration,
    },
    StopHost {
        away: Duration,
    },
    /// It comes back from the same port, or from another.
    KillClient {
        client: usize,
        away: Duration,
        same_port: bool,
    },
    Sleep {
        who: Who,
        time: Duration,
    },
    Slow {
        who: Who,
        time: Duration,
    },
    Answer(Answers),
    Logout {
        client: usize,
        away: Duration,
    },
    /// The session in this place of the table.
    Evict {
        place: u64,
    },
    /// The user of the session in this place of the table logs in again, or is thrown out.
    AskLogin {
        place: u64,
        within: Duration,
    },
    /// Another client under the name of this one, for a while.
    Duplicate {
        client: usize,
        time: Duration,
    },
    Garbage {
        count: u64,
    },
    Replay {
        count: u64,
    },
}

/// Everything that will happen, in order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The next one last.
    acts: Vec<(Time, Act)>,
}

impl Schedule {
    /// Draws what happens between `begin` and `end` to this many clients.
    pub(crate) fn draw(
        dice: &mut Dice,
        faults: Faults,
        clients: usize,
        (begin, end): (Time, Time),
    ) -> Self {
        let mut acts = Vec::new();
        for client in 0..clients {
            acts.push((begin, weather(dice, faults, client)));
        }
        for fault in faults.iter() {
            // In a large crowd more happens, but not to each of them.
            let mut apart = dice.clone();
            let dice = fault.dice(dice, &mut apart);
            let crowd = 1 + clients as u64 / 16;
            let gap = dice.pick(&[1_500, 4_000, 10_000, 25_000]) / crowd;
            let mut at = begin + dice.millis(0, gap);
            while at < end {
                let client = dice.index(clients);
                draw_acts(dice, (fault, faults), client, at, &mut acts);
                at = at + dice.millis(gap / 4 + 1, gap * 2);
            }
        }
        acts.retain(|(at, _)| *at < end);
        // Stable: those of one moment stay in the order in which they were drawn.
        acts.sort_by_key(|(at, _)| *at);
        acts.reverse();
        Self { acts }
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Time> {
        self.acts.last().map(|(at, _)| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Act> {
        self.acts.pop().map(|(_, act)| act)
    }
}

/// What one fault does at one time; some need a second act to end it.
fn draw_acts(
    dice: &mut Dice,
    (fault, faults): (Fault, Faults),
    client: usize,
    at: Time,
    acts: &mut Vec<(Time, Act)>,
) {
    let who = if dice.permille(400) { Who::Host } else { Who::Client(client) };
    let time = dice.while_away();
    let act = match fault {
        Fault::Delay
        | Fault::Jitter
        | Fault::LossEven
        | Fault::LossBursts
        | Fault::Duplication
        | Fault::Reordering
        | Fault::Corruption
        | Fault::Truncation
        | Fault::Splicing
        | Fault::Rate
        | Fault::Mtu
        | Fault::Routers => weather(dice, faults, client),
        Fault::CutUp | Fault::CutDown => {
            let (up, down) = (fault == Fault::CutUp, fault == Fault::CutDown);
            acts.push((at + time, Act::Cut { client, up: false, down: false }));
            Act::Cut { client, up, down }
        }
        Fault::Rebinding => Act::Rebind { client },
        Fault::HostKill => Act::KillHost { away: time },
        Fault::HostStop => Act::StopHost { away: time },
        Fault::ClientKill => Act::KillClient { client, away: time, same_port: dice.permille(300) },
        Fault::HostSleep => Act::Sleep { who: Who::Host, time },
        Fault::ClientSleep => Act::Sleep { who: Who::Client(client), time },
        Fault::SlowApplication => Act::Slow { who, time },
        Fault::LateAnswer | Fault::Refusal => {
            let late = dice.pick(&[0, 50, 2_000, 7_000]);
            let refused = dice.pick(&[0, 100, 500, 1_000]);
            let late = if faults.has(Fault::LateAnswer) { late } else { 0 };
            let refused_permille = if faults.has(Fault::Refusal) { refused } else { 0 };
            Act::Answer(Answers { late: Duration::from_millis(late), refused_permille })
        }
        Fault::Logout => Act::Logout { client, away: time },
        Fault::Eviction => Act::Evict { place: dice.seed() },
        Fault::LoginAgain => Act::AskLogin { place: dice.seed(), within: time },
        Fault::DuplicateLogin => Act::Duplicate { client, time },
        Fault::Garbage => Act::Garbage { count: dice.between(1, 20) },
        Fault::Replay => Act::Replay { count: dice.between(1, 20) },
        // They are there from the beginning.
        Fault::SharedAddress | Fault::TightLimits => return,
    };
    acts.push((at, act));
}

fn weather(dice: &mut Dice, faults: Faults, client: usize) -> Act {
    let there_and_back = Box::new([conditions(dice, faults), conditions(dice, faults)]);
    Act::Weather { client, there_and_back }
}

/// A path without faults.
pub(crate) fn calm() -> Conditions {
    Conditions { delay: Duration::from_millis(20), ..Conditions::default() }
}

/// One direction of a path with a part of the faults that may be. What is under way longer than a
/// lingering link waits is left out on purpose: KCP cannot tell it from a new link.
fn conditions(dice: &mut Dice, faults: Faults) -> Conditions {
    let mut drawn = calm();
    let has = |dice: &mut Dice, fault| faults.has(fault) && dice.permille(600);
    if has(dice, Fault::Delay) {
        drawn.delay = dice.millis(0, 250);
    }
    if has(dice, Fault::Jitter) {
        let most = dice.pick(&[5, 50, 200]);
        drawn.jitter = dice.millis(1, most);
    }
    if has(dice, Fault::LossEven) {
        let most = dice.pick(&[20, 100, 400]);
        drawn.loss = Loss::Even { permille: dice.between(1, most) as u32 };
    }
    if has(dice, Fault::LossBursts) {
        let burst_len = dice.between(2, 20) as u32;
        let most = u64::from(Loss::bursts_permille_max(burst_len).min(400));
        drawn.loss = Loss::Bursts { permille: dice.between(5, most) as u32, burst_len };
    }
    let few = dice.pick(&[5, 50, 200]);
    if has(dice, Fault::Duplication) {
        drawn.duplicate_permille = dice.between(1, few) as u32;
    }
    if has(dice, Fault::Reordering) {
        drawn.reorder_permille = dice.between(1, few) as u32;
        drawn.reorder_by = dice.millis(1, 200);
    }
    if has(dice, Fault::Corruption) {
        drawn.corrupt_permille = dice.between(1, few) as u32;
    }
    if has(dice, Fault::Truncation) {
        drawn.truncate_permille = dice.between(1, few) as u32;
    }
    if has(dice, Fault::Splicing) {
        drawn.splice_permille = dice.between(1, few) as u32;
    }
    if has(dice, Fault::Rate) {
        let rate = dice.pick(&[10_000, 50_000, 200_000]);
        drawn.rate_bytes_per_second = Some(rate);
        drawn.queue_bytes_max = (rate / dice.between(4, 40)) as usize;
    }
    if has(dice, Fault::Mtu) {
        drawn.mtu = Some(dice.pick(&[300, 576, 1_000, 1_199]));
    }
    if has(dice, Fault::Routers) {
        let bytes = dice.index(drawn.queue_bytes_max);
        let kinds =
            [Routers::MarkQueue { bytes }, Routers::MarkAll, Routers::Bleach, Routers::Drop];
        drawn.routers = dice.pick(&kinds);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_enables_some_faults_and_all_seeds_together_all_of_them() {
        let mut seen = Faults::NONE;
        for seed in 0..64 {
            let drawn = Faults::draw(&mut Dice::new(seed), Scope::All);
            assert_ne!(drawn.iter().count(), Fault::ALL.len());
            drawn.iter().for_each(|fault| seen.add(fault));
        }
        assert_eq!(seen.iter().count(), Fault::ALL.len());
    }

    #[test]
    fn every_path_that_is_drawn_can_be() {
        let mut all = Faults::NONE;
        Fault::ALL.iter().for_each(|fault| all.add(*fault));
        let mut dice = Dice::new(1);
        for _ in 0..2_000 {
            assert_eq!(conditions(&mut dice, all).check(), Ok(()));
        }
    }

    #[test]
    fn nothing_happens_after_the_end() {
        let (begin, end) = (Time::from_millis(1_000), Time::from_millis(30_000));
        for seed in 0..64 {
            let mut dice = Dice::new(seed);
            let faults = Faults::draw(&mut dice, Scope::All);
            let mut schedule = Schedule::draw(&mut dice, faults, 3, (begin, end));
            let mut before = begin;
            while let Some(at) = schedule.next() {
                assert!(before <= at && at < end);
                before = at;
                schedule.pop();
            }
        }
    }
}
