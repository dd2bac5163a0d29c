//! A message of which some parts arrived.

use super::Violation;
use crate::wire::Fragment;

/// The parts of one message that are here. It grows with the bytes that really came: each part but
/// the last has at least [`Fragment::LEN_MIN`] of them.
#[derive(Debug)]
pub struct Assembly {
    kind: u16,
    last: u16,
    /// By their places in the message.
    parts: Vec<(u16, Box<[u8]>)>,
    bytes: usize,
}

/// What a part did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// It was here already, or belongs to an older split of the message.
    Known,
}

impl Assembly {
    /// A message of this kind, of which nothing is here.
    pub const fn new(kind: u16, last: u16) -> Self {
        Self { kind, last, parts: Vec::new(), bytes: 0 }
    }

    /// How many bytes are here.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The least that the message has: the bytes that are here, or all parts but the last at their
    /// shortest. So what is kept of a message, with what keeping it takes, is about what it counts
    /// for, however short its parts are.
    pub fn weight(&self) -> u64 {
        let least = usize::from(self.last).saturating_mul(Fragment::LEN_MIN);
        if self.parts.is_empty() { 0 } else { self.bytes.max(least) as u64 }
    }

    /// Takes a part in. A message that is split into more parts than before begins anew: the path
    /// carries less than its sender thought.
    ///
    /// # Errors
    /// When the parts cannot be of one message.
    pub fn add(
        &mut self,
        kind: u16,
        fragment: Fragment,
        payload: &[u8],
    ) -> Result<Added, Violation> {
        if kind != self.kind {
            return Err(Violation("parts of a message are of different kinds"));
        }
        if fragment.last > self.last {
            self.bytes = 0;
            self.parts.clear();
            self.last = fragment.last;
        }
        let place = self.parts.binary_search_by_key(&fragment.index, |(index, _)| *index);
        let (true, Err(place)) = (fragment.last == self.last, place) else {
            return Ok(Added::Known);
        };
        if !self.fits(fragment, payload.len()) {
            return Err(Violation("parts of a message have different lengths"));
        }
        self.bytes += payload.len();
        if self.parts.is_empty() {
            // Most often the others follow; but who sends first parts only is not given room.
            self.parts.reserve_exact(1);
        }
        self.parts.insert(place, (fragment.index, payload.into()));
        Ok(Added::New)
    }

    /// All parts but the last are of one length, and the last is not longer.
    fn fits(&self, fragment: Fragment, len: usize) -> bool {
        let mut others = self.parts.iter();
        let is_last = fragment.index == self.last;
        match others.next() {
            None => true,
            Some((index, other)) if *index == self.last => len >= other.len(),
            Some((_, other)) if is_last => len <= other.len(),
            Some((_, other)) => len == other.len(),
        }
    }

    /// The whole message, if all of it is here.
    pub fn whole(&self) -> Option<Vec<u8>> {
        if self.parts.len() <= usize::from(self.last) {
            return None;
        }
        let mut whole = Vec::with_capacity(self.bytes);
        self.parts.iter().for_each(|(_, part)| whole.extend_from_slice(part));
        Some(whole)
    }

    /// What the message is.
    pub const fn kind(&self) -> u16 {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u16, last: u16) -> Fragment {
        Fragment { index, last }
    }

    #[test]
    fn parts_in_any_order_make_the_message() {
        let message: Vec<u8> = (0..1_300_u32).map(|byte| byte as u8).collect();
        let parts: Vec<_> = message.chunks(600).collect();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut assembly = Assembly::new(7, 2);
            for index in order {
                assert_eq!(assembly.whole(), None);
                let fragment = part(index, 2);
                let added = assembly.add(7, fragment, parts[usize::from(index)]);
                assert_eq!(added, Ok(Added::New));
                let again = assembly.add(7, fragment, parts[usize::from(index)]);
                assert_eq!(again, Ok(Added::Known));
            }
            assert_eq!(assembly.whole().as_deref(), Some(message.as_slice()));
            assert_eq!((assembly.bytes(), assembly.kind()), (1_300, 7));
        }
    }

    #[test]
    fn a_finer_split_begins_anew_and_an_older_one_is_passed_over() {
        let mut assembly = Assembly::new(7, 1);
        assert_eq!(assembly.add(7, part(0, 1), &[1; 900]), Ok(Added::New));
        assert_eq!(assembly.add(7, part(1, 2), &[1; 600]), Ok(Added::New));
        assert_eq!(assembly.add(7, part(1, 1), &[1; 300]), Ok(Added::Known));
        assert_eq!((assembly.bytes(), assembly.weight()), (600, 600));
    }

    #[test]
    fn a_message_weighs_what_its_parts_have_at_least() {
        let mut assembly = Assembly::new(7, 9);
        assert_eq!(assembly.weight(), 0);
        assert!(assembly.add(7, part(9, 9), &[1]).is_ok());
        assert_eq!((assembly.bytes(), assembly.weight()), (1, 9 * 256));
    }

    #[test]
    fn a9_parts_that_cannot_be_of_one_message_are_a_violation() {
        let mut assembly = Assembly::new(7, 2);
        assert!(assembly.add(7, part(2, 2), &[1; 600]).is_ok());
        assert!(assembly.add(7, part(0, 2), &[1; 599]).is_err(), "shorter than the last");
        assert!(assembly.add(7, part(0, 2), &[1; 700]).is_ok());
        assert!(assembly.add(7, part(1, 2), &[1; 701]).is_err(), "not as long as the first");
        assert!(assembly.add(8, part(1, 2), &[1; 700]).is_err(), "of another kind");
    }
}
