//! What parts of a host's link take, in bytes, without what they hold on the heap.

use super::*;
use crate::crypto::{PacketKeys, RestingKeys, Ticket};
use crate::endpoint::entry::Rare;
use crate::lanes::{Inbox, Outbox};
use crate::link::{Link, Rested};
use crate::recovery::sender::Sender;

/// Not a limit but a record: who changes a figure writes the new one down, and why it is worth it
/// in the commit. An idle session has an entry, a ticket and a link that rests.
#[test]
fn what_the_parts_of_a_link_take_is_known() {
    let sizes = [
        ("Entry", size_of::<Entry>()),
        ("Rare", size_of::<Rare>()),
        ("Ticket", size_of::<Ticket>()),
        ("Rested", size_of::<Rested>()),
        ("RestingKeys", size_of::<RestingKeys>()),
        ("Link", size_of::<Link>()),
        ("PacketKeys", size_of::<PacketKeys>()),
        ("Sender", size_of::<Sender>()),
        ("Outbox", size_of::<Outbox>()),
        ("Inbox", size_of::<Inbox>()),
    ];
    let expected = [
        ("Entry", 80),
        ("Rare", 104),
        ("Ticket", 56),
        ("Rested", 152),
        ("RestingKeys", 136),
        ("Link", 2_584),
        ("PacketKeys", 400),
        ("Sender", 1_112),
        ("Outbox", 328),
        ("Inbox", 96),
    ];
    assert_eq!(sizes, expected, "write the new figures down, with the reason");
}
