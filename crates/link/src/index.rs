//! An index of a table's places by a key that lies in the table itself.
//!
//! A hash table that holds keys and values pays for both in every free place that it keeps to be
//! quick. Here a place costs eight bytes, and the table grows by a quarter and not to its double,
//! so no number of entries is a bad one.

use std::hash::{BuildHasher, Hash};

use crate::rng::{KeyedState, Rng};

/// What stands where no entry is.
const NONE: u32 = u32::MAX;
/// At most so many of four places are taken.
const FULL_OF_FOUR: usize = 3;
/// The least places that a table has which is not empty.
const LEN_MIN: usize = 8;

/// Finds places by keys. It knows a key by its hash alone; whoever asks says which of the few
/// places with the hash has the key.
#[derive(Clone, Debug)]
pub struct Index {
    /// Entries at or after the place that their hash asks for, without a free one in between. Those
    /// of one hash stand in the order in which they came.
    entries: Vec<Entry>,
    len: usize,
    hashing: KeyedState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: u32,
}

const FREE: Entry = Entry { hash: 0, place: NONE };

impl Index {
    /// An index of nothing, with hashes that nobody outside can foresee.
    pub const fn new(rng: &mut Rng) -> Self {
        Self { entries: Vec::new(), len: 0, hashing: KeyedState::new(rng) }
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The places that may have this key, those that came first first: look whether they do.
    pub fn find<K: Hash + ?Sized>(&self, key: &K) -> impl Iterator<Item = u32> {
        let hash = self.hash(key);
        let home = self.home(hash);
        let (before, after) = self.entries.split_at(home.min(self.entries.len()));
        // Bounded: a quarter of the places is free.
        let run = after.iter().chain(before).take_while(|entry| entry.place != NONE);
        run.filter(move |entry| entry.hash == hash).map(|entry| entry.place)
    }

    /// Adds a place that has this key from now on.
    pub fn insert<K: Hash + ?Sized>(&mut self, key: &K, place: u32) {
        if self.len >= self.entries.len() / 4 * FULL_OF_FOUR {
            self.resize(self.len + self.len / 4 + 1);
        }
        let hash = self.hash(key);
        self.put(Entry { hash, place });
        self.len += 1;
    }

    /// Takes a place out that had this key. Whether it was there.
    pub fn remove<K: Hash + ?Sized>(&mut self, key: &K, place: u32) -> bool {
        let hash = self.hash(key);
        let mut at = self.home(hash);
        loop {
            match self.entries.get(at) {
                None | Some(Entry { place: NONE, .. }) => return false,
                Some(entry) if entry.hash == hash && entry.place == place => break,
                Some(_) => at = self.after(at),
            }
        }
        self.close_gap(at);
        self.len -= 1;
        // A burst does not keep its memory.
        if self.len < self.entries.len() / 4 && self.entries.len() > LEN_MIN {
            self.resize(self.len + self.len / 4);
        }
        true
    }

    /// Moves those up that stand behind a place which is free now, as they would not be found.
    fn close_gap(&mut self, mut free: usize) {
        let mut at = self.after(free);
        while self.entries[at].place != NONE {
            let home = self.home(self.entries[at].hash);
            let len = self.entries.len();
            // How far each is behind the entry, round the end of the table.
            let (to_home, to_free) = ((at + len - home) % len, (at + len - free) % len);
            if to_home >= to_free {
                self.entries[free] = self.entries[at];
                free = at;
            }
            at = self.after(at);
        }
        self.entries[free] = FREE;
    }

    fn put(&mut self, entry: Entry) {
        let mut at = self.home(entry.hash);
        while self.entries[at].place != NONE {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    /// Makes room for so many entries and a quarter free.
    fn resize(&mut self, entries: usize) {
        let len = (entries.div_ceil(FULL_OF_FOUR) * 4).max(LEN_MIN);
        let old = std::mem::replace(&mut self.entries, vec![FREE; len]);
        // From a free place on, so that those of one hash keep their order round the end.
        let start = old.iter().position(|entry| entry.place == NONE).unwrap_or(0);
        let (before, after) = old.split_at(start);
        for entry in after.iter().chain(before).filter(|entry| entry.place != NONE) {
            self.put(*entry);
        }
    }

    fn hash<K: Hash + ?Sized>(&self, key: &K) -> u32 {
        (self.hashing.hash_one(key) >> 32) as u32
    }

    /// Where entries of this hash begin.
    const fn home(&self, hash: u32) -> usize {
        ((hash as u64 * self.entries.len() as u64) >> 32) as usize
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 < self.entries.len() { at + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places with few different keys, so that many have the same, beside a plain list.
    #[test]
    fn it_finds_what_a_list_finds_in_the_order_in_which_it_came() {
        let mut rng = Rng::new(3);
        for keys in [1, 5, 40, 4_000] {
            let mut index = Index::new(&mut rng);
            let mut list: Vec<(u64, u32)> = Vec::new();
            let mut next = 0;
            for round in 0..6_000 {
                let grows = round < 2_000 || (4_000..5_000).contains(&round);
                if list.is_empty() || rng.below(10) < if grows { 7 } else { 3 } {
                    let key = rng.below(keys);
                    index.insert(&key, next);
                    list.push((key, next));
                    next += 1;
                } else {
                    let (key, place) = list.remove(rng.below(list.len() as u64) as usize);
                    assert!(index.remove(&key, place));
                    assert!(!index.remove(&key, place), "it is gone");
                }
                let key = rng.below(keys);
                let expected = list.iter().filter(|(of, _)| *of == key).map(|(_, place)| *place);
                assert!(index.find(&key).eq(expected), "{keys} keys, round {round}");
                assert_eq!(index.len(), list.len());
                assert!(index.entries.len() <= 5 * list.len().max(LEN_MIN), "it shrinks");
            }
        }
    }

    #[test]
    fn an_entry_costs_few_bytes_however_many_there_are() {
        let mut index = Index::new(&mut Rng::new(1));
        assert!(index.is_empty() && index.find(&7).next().is_none() && !index.remove(&7, 0));
        for entry in 0..10_000_u32 {
            index.insert(&entry, entry);
            let bytes = index.entries.capacity() * size_of::<Entry>();
            assert!(bytes <= 14 * index.len() + 96, "{bytes} bytes for {}", index.len());
        }
    }
}
