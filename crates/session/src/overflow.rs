//! What becomes of a message that finds no room.

use moorline_link::{LinkId, Outgoing, Overflow, SendError, Time, Transport};

/// Sends a message, and makes room for it where older ones may be dropped.
pub(crate) fn send_or_make_room<T: Transport>(
    transport: &mut T,
    now: Time,
    link: LinkId,
    message: Outgoing<'_>,
    overflow: Overflow,
) -> Result<(), SendError> {
    let sent = transport.send(now, link, message);
    let may_drop = sent == Err(SendError::Full) && overflow == Overflow::DropOldest;
    if may_drop && transport.make_room(link, message.lane, message.payload.len()) {
        return transport.send(now, link, message);
    }
    sent
}
