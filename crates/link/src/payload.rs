//! The bytes of messages, whose memory is used again: a host that moves a hundred thousand messages
//! a second asks the allocator for none of them.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Longer ones are rare, and go back to the allocator.
const POOLED_LEN_MAX: usize = 2_048;
/// How many buffers wait for use at most, of all lengths together.
const POOLED_MAX: usize = 1_024;
/// Buffers have 64 bytes, or twice that, and so on up to the longest.
const LEN_MIN: usize = 64;
const CLASSES: usize = (POOLED_LEN_MAX / LEN_MIN).ilog2() as usize + 1;

/// Memory for messages. All clones share it, whatever threads they are on.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    classes: [Vec<Vec<u8>>; CLASSES],
    len: usize,
}

/// The bytes of a message. Read it as a slice; `to_vec` copies it, `into` makes a vector of it.
#[derive(Default)]
pub struct Payload {
    bytes: Vec<u8>,
    pool: Option<Pool>,
}

/// Which buffers hold so many bytes; none for more than the longest.
fn class_of(len: usize) -> Option<usize> {
    let len = len.max(LEN_MIN);
    (len <= POOLED_LEN_MAX).then(|| (len.next_power_of_two() / LEN_MIN).ilog2() as usize)
}

impl Pool {
    /// Memory that grows with its use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These bytes, in memory that was used before where there is some.
    #[must_use]
    pub fn payload(&self, bytes: &[u8]) -> Payload {
        let Some(class) = class_of(bytes.len()) else { return bytes.into() };
        let free = self.with(|free| {
            let buffer = free.classes[class].pop();
            free.len -= usize::from(buffer.is_some());
            buffer
        });
        let mut buffer = free.unwrap_or_else(|| Vec::with_capacity(LEN_MIN << class));
        buffer.extend_from_slice(bytes);
        Payload { bytes: buffer, pool: Some(self.clone()) }
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let class = class_of(buffer.capacity());
        let Some(class) = class.filter(|class| LEN_MIN << class == buffer.capacity()) else {
            return;
        };
        buffer.clear();
        self.with(|free| {
            if free.len < POOLED_MAX {
                free.len += 1;
                free.classes[class].push(buffer);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Free) -> T) -> T {
        // What panicked meanwhile left buffers, which are as good as any.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        match &self.pool {
            Some(pool) => pool.payload(self),
            None => Self::from(self.bytes.clone()),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, pool: None }
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl<const LEN: usize> From<&[u8; LEN]> for Payload {
    fn from(bytes: &[u8; LEN]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<Payload> for Vec<u8> {
    fn from(mut payload: Payload) -> Self {
        payload.pool = None;
        std::mem::take(&mut payload.bytes)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Payload {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.with(|free| free.len);
        f.debug_struct("Pool").field("free", &free).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(pool: &Pool) -> usize {
        pool.with(|free| free.len)
    }

    #[test]
    fn memory_that_was_given_back_is_used_again() {
        let pool = Pool::new();
        let first = pool.payload(&[1; 100]);
        let place = first.as_ptr();
        assert_eq!(first, [1; 100]);
        drop(first);
        assert_eq!(free(&pool), 1);
        assert_eq!(pool.payload(&[2; 60]), [2; 60], "has a class of its own");
        assert_eq!(free(&pool), 2);
        let second = pool.payload(&[2; 128]);
        assert_eq!((second.as_ptr(), free(&pool)), (place, 1));
        let copy = second.clone();
        assert_eq!(copy, second);
        let taken: Vec<u8> = second.into();
        assert_eq!((taken, free(&pool)), (vec![2; 128], 1));
    }

    #[test]
    fn what_is_long_or_too_much_goes_back_to_the_allocator() {
        let pool = Pool::new();
        drop(pool.payload(&[0; POOLED_LEN_MAX + 1]));
        drop(pool.payload(&[]));
        assert_eq!(free(&pool), 1);
        let many: Vec<_> = (0..2 * POOLED_MAX).map(|len| pool.payload(&vec![7; len])).collect();
        drop(many);
        assert_eq!(free(&pool), POOLED_MAX);
    }
}
