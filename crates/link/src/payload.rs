//! The bytes of messages, whose memory is used again: a host that moves a hundred thousand messages
//! a second asks the allocator for none of them.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Longer ones are rare, and go back to the allocator.
const POOLED_LEN_MAX: usize = 2_048;
/// How many buffers of a length wait on each thread at most, and for all threads together.
const NEAR_MAX: usize = 32;
const FAR_MAX: usize = 1_024;
/// Buffers have 64 bytes, or twice that, and so on up to the longest.
const LEN_MIN: usize = 64;
const CLASSES: usize = (POOLED_LEN_MAX / LEN_MIN).ilog2() as usize + 1;

/// Buffers that wait for use, by their lengths.
struct Free([Vec<Vec<u8>>; CLASSES]);

thread_local! {
    /// Those of this thread, which nobody else asks for.
    static NEAR: RefCell<Free> = const { RefCell::new(Free::NONE) };
}

/// Those that a thread had too many of: one may receive what another one takes.
static FAR: Mutex<Free> = Mutex::new(Free::NONE);

/// The bytes of a message. Read it as a slice; `to_vec` copies it, `into` makes a vector of it.
#[derive(Default)]
pub struct Payload(Vec<u8>);

/// Which buffers hold so many bytes; none for more than the longest.
fn class_of(len: usize) -> Option<usize> {
    let len = len.max(LEN_MIN);
    (len <= POOLED_LEN_MAX).then(|| (len.next_power_of_two() / LEN_MIN).ilog2() as usize)
}

impl Free {
    const NONE: Self = Self([const { Vec::new() }; CLASSES]);

    fn take(&mut self, class: usize) -> Option<Vec<u8>> {
        let near = &mut self.0[class];
        if near.is_empty() {
            let far = &mut far().0[class];
            near.extend(far.drain(far.len().saturating_sub(NEAR_MAX / 2)..));
        }
        near.pop()
    }

    fn give_back(&mut self, class: usize, buffer: Vec<u8>) {
        let near = &mut self.0[class];
        if near.len() >= NEAR_MAX {
            let far = &mut far().0[class];
            far.extend(near.drain(NEAR_MAX / 2..));
            far.truncate(FAR_MAX);
        }
        near.push(buffer);
    }
}

/// Locked for a few buffers at a time.
fn far() -> MutexGuard<'static, Free> {
    // What panicked meanwhile left buffers, which are as good as any.
    FAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// None on a thread that ends.
fn near<T>(act: impl FnOnce(&mut Free) -> T) -> Option<T> {
    NEAR.try_with(|near| act(&mut near.borrow_mut())).ok()
}

impl Payload {
    /// These bytes, in memory that was used before where there is some.
    #[must_use]
    pub fn pooled(bytes: &[u8]) -> Self {
        let Some(class) = class_of(bytes.len()) else { return bytes.into() };
        let buffer = near(|near| near.take(class)).flatten();
        let mut buffer = buffer.unwrap_or_else(|| Vec::with_capacity(LEN_MIN << class));
        buffer.extend_from_slice(bytes);
        Self(buffer)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let class = class_of(self.0.capacity());
        if let Some(class) = class.filter(|class| LEN_MIN << class == self.0.capacity()) {
            let mut buffer = mem::take(&mut self.0);
            buffer.clear();
            near(|near| near.give_back(class, buffer));
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        Self::pooled(self)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
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
        mem::take(&mut payload.0)
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
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn free() -> usize {
        near(|near| near.0.iter().map(Vec::len).sum()).expect("the thread lives")
    }

    /// Elsewhere, as this thread may have run other tests.
    #[expect(clippy::disallowed_methods, reason = "memory of one thread may end on another")]
    fn on_a_new_thread(act: impl FnOnce() + Send + 'static) {
        thread::spawn(act).join().expect("it passed");
    }

    #[test]
    fn memory_that_was_given_back_is_used_again() {
        on_a_new_thread(|| {
            let first = Payload::pooled(&[1; 100]);
            let place = first.as_ptr();
            assert_eq!(first, [1; 100]);
            drop(first);
            let before = free();
            assert_eq!(Payload::pooled(&[2; 60]), [2; 60], "has a class of its own");
            let second = Payload::pooled(&[2; 128]);
            assert_eq!(second.as_ptr(), place);
            let copy = second.clone();
            assert_eq!(copy, second);
            let taken: Vec<u8> = second.into();
            assert_eq!(taken, [2; 128]);
            drop(copy);
            assert!(free() >= before, "what became a vector is gone, its copy is back");
        });
    }

    #[test]
    fn what_one_thread_takes_another_can_give_back() {
        on_a_new_thread(|| {
            for _ in 0..20 {
                let all: Vec<_> = (0..100).map(|_| Payload::pooled(&[3; 1_500])).collect();
                on_a_new_thread(move || drop(all));
            }
            let far = far().0[class_of(1_500).expect("it is short enough")].len();
            assert!((1..=FAR_MAX).contains(&far), "{far} wait");
        });
    }

    #[test]
    fn what_is_long_or_too_much_goes_back_to_the_allocator() {
        on_a_new_thread(|| {
            drop(Payload::pooled(&[0; POOLED_LEN_MAX + 1]));
            drop(Payload::from(vec![0; 100]));
            assert_eq!(free(), 0);
            let many: Vec<_> = (0..3 * FAR_MAX).map(|_| Payload::pooled(&[7; 200])).collect();
            drop(many);
            assert!(free() <= NEAR_MAX);
            let far = far().0[class_of(200).expect("it is short enough")].len();
            assert!(far <= FAR_MAX, "{far} wait");
        });
    }
}
