//! The newest wins: messages that wait where a newer one can replace them, and the newest ticks
//! that arrived.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;

use moorline_link::rng::KeyedState;

/// What a message is the newest of: its kind and the application's key.
type Key = (u16, u64);

/// Messages that wait for room in a conversation, at most one a key, in the order in which their
/// keys began to wait.
#[derive(Debug, Default)]
pub(crate) struct LatestQueue {
    order: VecDeque<Key>,
    newest: BTreeMap<Key, Vec<u8>>,
}

impl LatestQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Keeps `payload` as the newest of its key. False if it is none of `keys_max` keys that wait.
    #[must_use]
    pub(crate) fn put(&mut self, key: Key, payload: &[u8], keys_max: usize) -> bool {
        if let Some(waiting) = self.newest.get_mut(&key) {
            waiting.clear();
            waiting.extend_from_slice(payload);
            return true;
        }
        if self.order.len() >= keys_max {
            return false;
        }
        self.order.push_back(key);
        self.newest.insert(key, payload.to_vec());
        true
    }

    /// The kind and payload of the key that waits longest.
    pub(crate) fn pop(&mut self) -> Option<(u16, Vec<u8>)> {
        let key = self.order.pop_front()?;
        let payload = self.newest.remove(&key)?;
        Some((key.0, payload))
    }
}

/// The newest tick of each player that one link named. It is the link's own, so that no peer can
/// make another's messages look old.
#[derive(Debug)]
pub(crate) struct NewestTicks {
    /// By a keyed hash of kind and player: a name may be long, and its bytes are of no use here.
    ticks: HashMap<u64, Newest, KeyedState>,
    /// The same by use, the least recent first.
    by_use: BTreeMap<u64, u64>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    tick: i64,
    used: u64,
}

impl NewestTicks {
    pub(crate) fn new(hash: KeyedState) -> Self {
        Self { ticks: HashMap::with_hasher(hash), by_use: BTreeMap::new(), uses: 0 }
    }

    /// Whether `tick` is newer than all before it of this kind and player; then it is the newest.
    /// Of more than `keys_max` players the least recently named is forgotten.
    pub(crate) fn is_news(&mut self, kind: u16, player: &[u8], tick: i64, keys_max: usize) -> bool {
        let key = self.ticks.hasher().hash_one((kind, player));
        self.uses = self.uses.saturating_add(1);
        let (used, before) = (self.uses, self.ticks.get(&key).copied());
        let newest = before.map_or(tick, |before| before.tick.max(tick));
        match before {
            Some(before) => {
                self.by_use.remove(&before.used);
            }
            None if self.ticks.len() >= keys_max => {
                if let Some((_, oldest)) = self.by_use.pop_first() {
                    self.ticks.remove(&oldest);
                }
            }
            None => {}
        }
        self.ticks.insert(key, Newest { tick: newest, used });
        self.by_use.insert(used, key);
        before.is_none_or(|before| tick > before.tick)
    }
}

#[cfg(test)]
mod tests {
    use moorline_link::rng::Rng;

    use super::*;

    #[test]
    fn the_newest_of_a_key_keeps_the_place_of_the_one_it_replaces() {
        let mut queue = LatestQueue::default();
        assert!(queue.put((1, 7), b"old", 2));
        assert!(queue.put((1, 8), b"other", 2));
        assert!(queue.put((1, 7), b"new", 2));
        assert!(!queue.put((2, 7), b"one key too many", 2));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.pop(), Some((1, b"new".to_vec())));
        assert_eq!(queue.pop(), Some((1, b"other".to_vec())));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn an_equal_or_older_tick_is_no_news_and_players_do_not_disturb_each_other() {
        let mut ticks = NewestTicks::new(KeyedState::new(&mut Rng::new(1)));
        assert!(ticks.is_news(1, b"a", 5, 8));
        assert!(!ticks.is_news(1, b"a", 5, 8));
        assert!(!ticks.is_news(1, b"a", -3, 8));
        assert!(ticks.is_news(1, b"b", -3, 8));
        assert!(ticks.is_news(2, b"a", 1, 8));
        assert!(ticks.is_news(1, b"a", 6, 8));
    }

    #[test]
    fn the_least_recently_named_player_is_forgotten_first() {
        let mut ticks = NewestTicks::new(KeyedState::new(&mut Rng::new(1)));
        assert!(ticks.is_news(1, b"a", 5, 2) && ticks.is_news(1, b"b", 5, 2));
        assert!(!ticks.is_news(1, b"a", 5, 2));
        assert!(ticks.is_news(1, b"c", 5, 2));
        assert!(!ticks.is_news(1, b"a", 5, 2), "a was used after b");
        assert!(ticks.is_news(1, b"b", 5, 2), "b was forgotten");
        assert_eq!((ticks.ticks.len(), ticks.by_use.len()), (2, 2));
    }
}
