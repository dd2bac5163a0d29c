//! From one host to another with the same key: a pass, which the one gives a client and the other
//! opens, says whose link it was.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{LinkEvent, LinkId, SendError, Time};

use super::greeting::Guest;
use super::{Endpoint, Side};
use crate::crypto::{Ticket, Verdict};
use crate::wire::{PASS_LEN, TicketId};

/// How long a pass is worth something, and by how much the clocks of two hosts may differ.
const LIFETIME: Duration = Duration::from_secs(300);
const SKEW_MAX: Duration = Duration::from_secs(60);
/// The longest name of a peer that a pass carries, in bytes.
const PEER_LEN_MAX: usize = 64;
/// How many passes are remembered that were used here; of more, none is taken until some lapse.
const USED_LEN_MAX: usize = 65_536;
/// What a pass is sealed for.
const CONTEXT: &[u8] = b"moorline 1 pass";

impl Endpoint {
    /// Gives the client of a link what another host will know it by, as `peer`.
    pub(super) fn give_pass(
        &mut self,
        now: Time,
        link: LinkId,
        peer: &[u8],
    ) -> Result<(), SendError> {
        let saved = self.save_link(link.0).ok_or(SendError::NotUp)?;
        if peer.len() > PEER_LEN_MAX {
            return Err(SendError::TooLarge { len: peer.len(), len_max: PEER_LEN_MAX });
        }
        let mut plain = (self.unix(now) + LIFETIME).as_secs().to_be_bytes().to_vec();
        plain.extend(&saved);
        plain.push(peer.len() as u8);
        plain.extend(peer);
        // Of one length, so that it does not tell how long the name is.
        plain.resize(PASS_LEN - crate::crypto::Vault::OVERHEAD, 0);
        let nonce = self.entropy.bytes();
        let Side::Host(host) = &self.side else { return Err(SendError::NotUp) };
        let sealed = host.vault.seal(nonce, CONTEXT, &plain).ok_or(SendError::NotUp)?;
        let pass = sealed.as_array().ok_or(SendError::NotUp)?;
        self.living_link(link.0)?.give_pass(now, pass)?;
        self.touch(link.0);
        Ok(())
    }

    /// Takes in a guest with a pass: a link that another host had, kept without its lanes. Whether
    /// there is one now.
    pub(super) fn take_pass(&mut self, now: Time, from: SocketAddr, guest: &Guest) -> bool {
        let unix = self.unix(now);
        let Side::Host(host) = &mut self.side else { return false };
        let Some(request) = &guest.params.resume else { return false };
        let opened = request.pass.and_then(|pass| host.vault.open(CONTEXT, &pass));
        let Some((until, ticket, peer)) = opened.as_deref().and_then(parse) else { return false };
        let id = ticket.id();
        let is_good = unix <= until + SKEW_MAX
            && until <= unix + LIFETIME + SKEW_MAX
            && !host.used_passes.contains_key(&id)
            && ticket.check(guest.id, &guest.ephemeral, &request.claim) == Verdict::Valid;
        if !is_good {
            return false;
        }
        if host.used_passes.len() >= USED_LEN_MAX {
            host.used_passes.retain(|_, until| *until + SKEW_MAX >= unix);
        }
        if host.used_passes.len() >= USED_LEN_MAX {
            return false;
        }
        let Some(key) = self.restore_link(now, from, &ticket.to_bytes()) else { return false };
        if let Side::Host(host) = &mut self.side {
            host.used_passes.insert(id, until);
        }
        let (link, peer) = (LinkId(key), peer.to_vec());
        self.events.push_back(LinkEvent::HandedOver { link, address: from, peer });
        true
    }

    /// The time on the calendar, since 1970.
    fn unix(&self, now: Time) -> Duration {
        self.config.unix_at_zero + now.since(Time::ZERO)
    }
}

/// Until when it is good, the ticket, and who its bearer is.
fn parse(plain: &[u8]) -> Option<(Duration, Ticket, &[u8])> {
    let (until, rest) = plain.split_first_chunk()?;
    let (ticket, rest) = rest.split_at_checked(Ticket::BYTES_LEN)?;
    let (len, rest) = rest.split_first()?;
    let until = Duration::from_secs(u64::from_be_bytes(*until));
    Some((until, Ticket::from_bytes(ticket)?, rest.get(..usize::from(*len))?))
}

/// Passes that were used here, and until when they would be good.
pub(super) type UsedPasses = std::collections::BTreeMap<TicketId, Duration>;
