//! Each oracle can fail: a transport with one small fault is found out within a few seeds.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use moorline_link::transport::{Counter, DialError};
use moorline_link::{
    Control, LinkEvent, LinkId, LinkStats, Outgoing, Port, Refusal, SendError, Time, Transmit,
    Transport,
};
use moorline_sim::{Carrier, Endpoint, Kcp, Oracle, Plan, Promises, Scope, run, run_again};

/// What is wrong with a host's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    DeliversTwice,
    DropsOne,
    SwapsTwo,
    AltersOne,
    SendsToTheWrongPeer,
    SpeaksAfterTheEnd,
    AnswersStrangersAtLength,
    IsDisturbedByStrangers,
    KeepsAnEndedLink,
    WaitsForNothing,
    NeverLetsAnyoneBackIn,
    Panics,
    DependsOnTheProcess,
}

/// KCP with a flaw.
#[derive(Clone, Copy, Debug)]
struct Flawed(Flaw);

impl Carrier for Flawed {
    fn name(&self) -> &'static str {
        "flawed"
    }

    fn promises(&self) -> Promises {
        Kcp.promises()
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Box::new(Wrapped::new(self.0, Kcp.host(endpoint)))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Kcp.client(endpoint)
    }
}

/// So many find each of them.
const SEEDS: u64 = 12;
/// What outlives a run.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// How many messages pass before the flaw shows.
const GOOD_MESSAGES: u64 = 30;

#[derive(Debug)]
struct Wrapped {
    flaw: Flaw,
    inner: Box<dyn Transport>,
    /// What is told before anything else.
    told: VecDeque<LinkEvent>,
    more: VecDeque<(Transmit, Vec<u8>)>,
    held: Option<LinkEvent>,
    /// The two links that were heard last.
    links: [Option<LinkId>; 2],
    ended: Option<LinkId>,
    messages: u64,
    heard_from: SocketAddr,
    is_closed_for_good: bool,
}

impl Wrapped {
    fn new(flaw: Flaw, inner: Box<dyn Transport>) -> Self {
        Self {
            flaw,
            inner,
            told: VecDeque::new(),
            more: VecDeque::new(),
            held: None,
            links: [None; 2],
            ended: None,
            messages: 0,
            heard_from: SocketAddr::from(([0; 4], 0)),
            is_closed_for_good: false,
        }
    }

    fn on_message(&mut self, event: LinkEvent) -> Option<LinkEvent> {
        let LinkEvent::Message { link, message } = &event else { return Some(event) };
        self.messages += 1;
        if self.links[0] != Some(*link) {
            self.links = [Some(*link), self.links[0]];
        }
        let is_due = self.messages == GOOD_MESSAGES;
        let is_reliable = message.kind == 100;
        match self.flaw {
            Flaw::DeliversTwice if is_due => self.told.push_back(event.clone()),
            Flaw::DropsOne if is_due => return self.inner.poll_event(),
            Flaw::SwapsTwo if is_reliable && self.messages >= GOOD_MESSAGES => {
                // The next one comes first.
                if self.held.is_none() {
                    self.held = Some(event);
                    return None;
                }
                self.told.extend(self.held.take());
            }
            Flaw::AltersOne if is_due => {
                let mut altered = message.clone();
                let mut payload = altered.payload.to_vec();
                payload[8] ^= 1;
                altered.payload = payload.into();
                return Some(LinkEvent::Message { link: *link, message: altered });
            }
            Flaw::SendsToTheWrongPeer if self.messages >= GOOD_MESSAGES => {
                if let Some(other) = self.links[1] {
                    let message = message.clone();
                    return Some(LinkEvent::Message { link: other, message });
                }
            }
            Flaw::Panics if is_due => panic!("as the test wants it"),
            Flaw::DependsOnTheProcess if is_due => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let noise = Transmit::unmarked(Port(0), self.heard_from);
                self.more.push_back((noise, count.to_le_bytes().to_vec()));
            }
            _ => {}
        }
        Some(event)
    }
}

impl Transport for Wrapped {
    fn name(&self) -> &'static str {
        "flawed"
    }

    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        let is_stranger = from.ip().to_string().starts_with("203.");
        if is_stranger && self.flaw == Flaw::AnswersStrangersAtLength {
            let answer = vec![7; datagram.len() + 1];
            self.more.push_back((Transmit::unmarked(port, from), answer));
        }
        if is_stranger
            && self.flaw == Flaw::IsDisturbedByStrangers
            && let Some(link) = self.links[0]
        {
            self.told.push_back(LinkEvent::Control { link, control: Control::Beat { beat: 1 } });
        }
        self.heard_from = from;
        self.inner.handle_datagram(now, port, from, datagram);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.inner.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.more.pop_front() {
            *datagram = bytes;
            return Some(transmit);
        }
        self.inner.poll_transmit(now, datagram)
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        if let Some(event) = self.told.pop_front() {
            return Some(event);
        }
        loop {
            let event = self.inner.poll_event()?;
            if let Some(event) = self.on_message(event) {
                return Some(event);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        if self.flaw == Flaw::WaitsForNothing && self.messages > GOOD_MESSAGES {
            return Some(Time::ZERO);
        }
        self.inner.poll_timeout()
    }

    fn dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        resumes: Option<LinkId>,
    ) -> Result<LinkId, DialError> {
        self.inner.dial(now, address, resumes)
    }

    fn accept(&mut self, now: Time, link: LinkId) {
        if self.flaw == Flaw::NeverLetsAnyoneBackIn && self.is_closed_for_good {
            return self.inner.abandon(now, link);
        }
        self.inner.accept(now, link);
        if self.flaw == Flaw::SpeaksAfterTheEnd
            && let Some(ended) = self.ended
        {
            // The link that came is told of under the number of one that is over.
            self.told.push_back(LinkEvent::Up {
                link: ended,
                address: SocketAddr::from(([10, 0, 1, 0], 9)),
                resumes: None,
            });
        }
    }

    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal) {
        self.inner.refuse(now, link, refusal);
    }

    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        self.inner.send(now, link, message)
    }

    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        self.inner.control(now, link, control)
    }

    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        self.ended = Some(link);
        self.is_closed_for_good = true;
        if self.flaw != Flaw::KeepsAnEndedLink {
            self.inner.close(now, link, farewell);
        }
    }

    fn abandon(&mut self, now: Time, link: LinkId) {
        self.inner.abandon(now, link);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        self.inner.stats(link)
    }

    fn counters(&self) -> Vec<Counter> {
        self.inner.counters()
    }
}

/// Whether a seed finds that this rule is broken.
fn is_found(flaw: Flaw, rule: Oracle) -> bool {
    let mut broken = (0..SEEDS).filter_map(|seed| {
        let carrier = Flawed(flaw);
        let outcome = run(&carrier, Plan { seed, minutes: 1, scope: Scope::All }, None);
        let is_good = outcome.violation.is_none();
        let again = rule == Oracle::Repetition && is_good;
        let outcome = if again { run_again(&carrier, outcome) } else { outcome };
        outcome.violation
    });
    broken.any(|violation| violation.oracle == rule)
}

#[test]
fn a_transport_without_a_flaw_is_not() {
    for seed in 0..SEEDS {
        assert_eq!(
            run(&Flawed(Flaw::None), Plan { seed, minutes: 1, scope: Scope::All }, None).violation,
            None
        );
    }
}

#[test]
fn one_that_loses_doubles_swaps_alters_or_mixes_up_messages() {
    let flaws = [
        Flaw::DeliversTwice,
        Flaw::DropsOne,
        Flaw::SwapsTwo,
        Flaw::AltersOne,
        Flaw::SendsToTheWrongPeer,
    ];
    for flaw in flaws {
        assert!(is_found(flaw, Oracle::Delivery), "{flaw:?}");
    }
}

#[test]
fn one_that_makes_sessions_of_what_is_over() {
    assert!(is_found(Flaw::SpeaksAfterTheEnd, Oracle::Healing));
}

#[test]
fn one_that_answers_strangers_with_more_than_they_sent() {
    assert!(is_found(Flaw::AnswersStrangersAtLength, Oracle::Amplification));
}

#[test]
fn one_that_lets_a_stranger_speak_for_others() {
    assert!(is_found(Flaw::IsDisturbedByStrangers, Oracle::Isolation));
}

#[test]
fn one_that_leaves_something_behind() {
    assert!(is_found(Flaw::KeepsAnEndedLink, Oracle::Emptiness));
}

#[test]
fn one_that_is_due_without_end() {
    assert!(is_found(Flaw::WaitsForNothing, Oracle::Progress));
}

#[test]
fn one_that_does_not_let_people_back_in() {
    assert!(is_found(Flaw::NeverLetsAnyoneBackIn, Oracle::Healing));
}

#[test]
fn one_that_panics() {
    assert!(is_found(Flaw::Panics, Oracle::Panic));
}

#[test]
fn one_that_depends_on_more_than_its_seed() {
    assert!(is_found(Flaw::DependsOnTheProcess, Oracle::Repetition));
}
