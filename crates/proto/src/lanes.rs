//! Lanes: from messages to frames and back, in the order and as often as each lane promises.
//!
//! Nothing here knows packets or time-outs: the sending side says what is to be sent next and is
//! told what arrived, the receiving side takes frames and gives messages. Both outlive a link.
//!
//! * [`tag`]: how a part of a message is named while it is on its way.
//! * [`outbox`]: what waits to be sent or acknowledged.
//! * [`assembly`]: a message of which some parts arrived.
//! * [`inbox`]: what arrived and what may still come.

pub mod assembly;
pub mod inbox;
pub mod outbox;
pub mod tag;

mod latest_in;
mod latest_out;
mod reliable_in;
mod reliable_out;
mod unreliable;

use std::fmt;

pub use inbox::{Inbox, InboxStats, Ready, Received};
pub use outbox::{Outbox, OutboxConfig, OutboxStats, Push};
pub use tag::Tag;

use crate::notes::Notes;
use crate::wire::Place;

/// Both sides of all lanes: what a session keeps when its link is gone.
#[derive(Debug)]
pub struct Lanes {
    /// What waits to be sent or acknowledged.
    pub outbox: Outbox,
    /// What arrived, and what is still expected.
    pub inbox: Inbox,
    /// Whether the link ended in order: all that the peer sent is here, and all that was begun from
    /// here is there. So what waits is to be sent by any link, also to who knows nothing of these.
    pub is_settled: bool,
}

impl Lanes {
    /// Bytes that they hold, with some for each message.
    pub const fn bytes(&self) -> usize {
        self.outbox.bytes().saturating_add(self.inbox.held() as usize)
    }
}

/// Which reliable lane it is, while a link rests.
fn note_place<N: Notes>(place: &mut Place, notes: &mut N) {
    let mut number = place.number();
    notes.small(&mut number);
    *place = match number {
        number if number == Place::Control.number() => Place::Control,
        number if number == Place::Unordered.number() => Place::Unordered,
        channel => Place::Ordered(channel),
    };
}

/// How far above the least message of a reliable lane that did not arrive another may be.
pub const SPAN_MAX: u64 = 1 << 14;
/// Of how many keys the newest number is remembered, and how many may wait. Of more, those that
/// were silent longest are forgotten: what comes late of them is dropped, whether it is new or not.
pub const KEYS_MAX: usize = 4_096;
/// The longest message of a lane that is not reliable, in bytes.
pub const SYNC_LEN_MAX: usize = 64 * 1_024;

/// What no honest peer sends: the link must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
