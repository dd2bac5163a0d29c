//! A table whose keys are dense, reused and never mistaken for one another.

use crate::ahead::Ahead;
use crate::rng::Rng;

/// A place in a [`Slots`] and the generation of its tenant: a key to a removed value finds nothing,
/// even when the place has a new tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// The place; small and dense, so that other tables (a [`Wheel`](crate::wheel::Wheel)) can be
    /// kept beside this one.
    pub index: u32,
    /// Which of the place's tenants is meant. The first number is random, the rest count up.
    pub generation: u32,
}

/// Values at dense places. Unlike a plain slab its keys carry a generation, and unlike a slot map
/// their index is promised to be dense.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    slots: Vec<Ahead<Slot<T>>>,
    free: Vec<u32>,
    rng: Rng,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table; first generations come from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), rng: Rng::new(rng.next_u64()) }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the value that `make` gives for its key into a free place.
    ///
    /// # Panics
    /// With 2^32 values; the caller's limit comes long before.
    pub fn insert_with(&mut self, make: impl FnOnce(SlotKey) -> T) -> SlotKey {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 slots");
            make_room(&mut self.slots);
            let generation = (self.rng.next_u64() >> 32) as u32;
            self.slots.push(Ahead::new(Slot { generation, value: None }));
            index
        });
        let slot = &mut self.slots[index as usize];
        let key = SlotKey { index, generation: slot.generation };
        slot.value = Some(make(key));
        key
    }

    /// Takes the value of `key` out; its place may then have another tenant.
    pub fn remove(&mut self, key: SlotKey) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// The value of `key`, if it is still there.
    pub fn get(&self, key: SlotKey) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    /// The value of `key`, if it is still there.
    pub fn get_mut(&mut self, key: SlotKey) -> Option<&mut T> {
        let slot: &mut Slot<T> = self.slots.get_mut(key.index as usize)?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation)
    }

    /// Asks for the memory of the value at `index`, if there may be one; see
    /// [`ahead`](crate::ahead).
    pub fn fetch(&self, index: u32) {
        if let Some(slot) = self.slots.get(index as usize) {
            slot.fetch();
        }
    }

    /// The key of whoever is at `index` now.
    pub fn key_at(&self, index: u32) -> Option<SlotKey> {
        let slot = self.slots.get(index as usize)?;
        slot.value.as_ref().map(|_| SlotKey { index, generation: slot.generation })
    }

    /// All values in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (SlotKey, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let value = slot.value.as_ref()?;
            Some((SlotKey { index, generation: slot.generation }, value))
        })
    }
}

/// Makes room for one more, and for an eighth of what is there: to double it would leave half of a
/// large table empty at the worst.
pub fn make_room<T>(list: &mut Vec<T>) {
    const LEN_MIN: usize = 4;
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(LEN_MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_to_a_removed_value_finds_nothing_even_when_its_place_is_taken_again() {
        let mut slots = Slots::new(&mut Rng::new(1));
        let old = slots.insert_with(|_| "old");
        assert_eq!(slots.remove(old), Some("old"));
        assert_eq!(slots.remove(old), None);
        let new = slots.insert_with(|_| "new");
        assert_eq!(new.index, old.index);
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
        assert_eq!(slots.key_at(new.index), Some(new));
        assert_eq!(slots.len(), 1);
        assert!(slots.iter().eq([(new, &"new")]));
    }
}
