//! Memory that is asked for before it is needed.
//!
//! A host has more links than fit into the processor's nearer caches, and what a datagram needs of
//! one lies in dozens of places. Each that is waited for takes as long as all of them that are
//! asked for together, while another datagram is handled. With a thousand links that is most of
//! the time that a datagram takes.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::slice;

use prefetch_index::prefetch_index;

/// What the processor moves at once.
type Line = [u8; 64];

/// A value of several cache lines, all of which can be asked for together.
#[derive(Clone, Debug)]
// The first field lies where the value does, and takes no room.
#[repr(C)]
pub struct Ahead<T> {
    lines: [Line; 0],
    value: T,
}

impl<T> Ahead<T> {
    /// A value that can be asked for.
    pub const fn new(value: T) -> Self {
        Self { lines: [], value }
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Asks for all of it. What it points to is asked for by itself.
    pub fn fetch(&self) {
        // It may begin in the middle of a line, and end in one more.
        for line in 0..size_of::<T>() / size_of::<Line>() + 1 {
            prefetch_index(self.lines.as_slice(), line);
        }
    }
}

impl<T> Deref for Ahead<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Ahead<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Asks for the oldest and the newest of these.
pub fn fetch_ends<T>(values: &VecDeque<T>) {
    values.front().into_iter().chain(values.back()).for_each(fetch);
}

/// Asks for the cache line in which a value begins.
pub fn fetch<T>(value: &T) {
    prefetch_index(slice::from_ref(value), 0);
}

#[cfg(test)]
mod tests {
    use std::ptr::from_ref;

    use super::*;

    #[test]
    fn what_is_asked_for_is_where_the_value_lies() {
        let ahead = Ahead::new([7_u32; 50]);
        assert_eq!(ahead.lines.as_ptr().addr(), from_ref(&*ahead).addr());
        assert_eq!(size_of_val(&ahead), 200);
        ahead.fetch();
        fetch_ends(&VecDeque::<u8>::new());
        assert_eq!(ahead.into_inner(), [7; 50]);
    }
}
