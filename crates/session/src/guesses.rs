//! Whoever guesses passwords is made to wait.
//!
//! Logins that the application refuses as [`BadCredentials`](RefusalCode::BadCredentials) are
//! counted for the address that they came from and for the name that they claimed. Where there were
//! too many, the next one is not even asked about: it is told when to come again. An address of
//! which nothing was refused lately is always asked about, so nobody can keep another out by
//! guessing at their name; and nobody is locked out, but only has to wait.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::time::Duration;

use moorline_link::network::prefix;
use moorline_link::rng::{KeyedState, Rng};
use moorline_link::{Identity, Refusal, RefusalCode, Time};

/// How many logins of one address, or of one name, may be refused at once.
const BURST: u32 = 10;
/// How often one more may be refused after that.
const INTERVAL: Duration = Duration::from_secs(6);
/// Of how many addresses and names the counts are kept apart. Others share one, which costs those
/// who meet there a wait at most; a stranger cannot choose whom to meet.
const SLOTS: usize = 8_192;

/// What was refused lately. The memory for it is taken when something is.
#[derive(Debug)]
pub(crate) struct Guesses {
    key: KeyedState,
    /// For each slot, when all that was refused there is forgotten (a leaky bucket).
    forgotten_at: Vec<Time>,
}

impl Guesses {
    pub(crate) const fn new(rng: &mut Rng) -> Self {
        Self { key: KeyedState::new(rng), forgotten_at: Vec::new() }
    }

    /// What a login is told that has to wait before anyone looks at it.
    pub(crate) fn judge(&self, now: Time, from: IpAddr, name: &Identity) -> Option<Refusal> {
        let (by_source, by_name) = (self.at(prefix(from)), self.at(name));
        if by_source <= now {
            return None;
        }
        let room_at = by_source.max(by_name).as_micros().saturating_sub(ROOM_MICROS);
        let wait = Time::from_micros(room_at).since(now);
        let text = "too many logins were refused, wait a while";
        let refusal = || Refusal::new(RefusalCode::BadCredentials, text).retry_after(wait);
        (!wait.is_zero()).then(refusal)
    }

    /// The application said no.
    pub(crate) fn on_refused(&mut self, now: Time, from: IpAddr, name: &Identity, no: &Refusal) {
        if no.code != RefusalCode::BadCredentials {
            return;
        }
        if self.forgotten_at.is_empty() {
            self.forgotten_at = vec![Time::ZERO; SLOTS];
        }
        for slot in [self.slot(prefix(from)), self.slot(name)] {
            if let Some(at) = self.forgotten_at.get_mut(slot) {
                *at = (*at).max(now) + INTERVAL;
            }
        }
    }

    fn at(&self, of: impl Hash) -> Time {
        self.forgotten_at.get(self.slot(of)).copied().unwrap_or_default()
    }

    fn slot(&self, of: impl Hash) -> usize {
        (self.key.hash_one(of) % SLOTS as u64) as usize
    }
}

/// As long as no more than this is to be forgotten, there is room for one more.
const ROOM_MICROS: u64 = INTERVAL.as_micros() as u64 * (BURST as u64 - 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Identity {
        Identity::new(text).expect("a name")
    }

    fn no() -> Refusal {
        Refusal::new(RefusalCode::BadCredentials, "wrong")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_is_free_and_then_one_is_asked_about_in_six_seconds() {
        let mut guesses = Guesses::new(&mut Rng::new(1));
        let (from, ann) = (ip("192.0.2.1"), name("ann"));
        let mut asked = 0;
        for millis in 0..60_000 {
            let now = Time::from_millis(1_000_000 + millis);
            if guesses.judge(now, from, &ann).is_none() {
                asked += 1;
                guesses.on_refused(now, from, &ann, &no());
            }
        }
        assert_eq!(asked, 10 + 9);
        let now = Time::from_millis(1_059_999);
        let wait = guesses.judge(now, from, &ann).and_then(|refusal| refusal.retry_after);
        assert!(wait.is_some_and(|wait| wait <= INTERVAL), "{wait:?}");
        let wait = wait.expect("just seen");
        assert_eq!(guesses.judge(now + wait, from, &ann), None, "whoever waits is asked about");
    }

    #[test]
    fn only_what_was_a_guess_counts() {
        let mut guesses = Guesses::new(&mut Rng::new(1));
        let (from, ann, now) = (ip("192.0.2.1"), name("ann"), Time::from_millis(5));
        for _ in 0..100 {
            let full = Refusal::new(RefusalCode::Full, "no room");
            guesses.on_refused(now, from, &ann, &full);
        }
        assert_eq!(guesses.judge(now, from, &ann), None);
        assert!(guesses.forgotten_at.is_empty(), "no memory is taken for nothing");
    }
}
