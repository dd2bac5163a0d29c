//! What proves that a link may go on with the lanes of an earlier one.
//!
//! A ticket is no bearer token: its name travels, its key does not. The proof covers the hello that
//! it is made for and the client's key in it, so it is worth nothing in another one.

use super::Verdict;
use super::hash::{Purpose, Secret, code, derive, is_equal};
use super::host_key::{private_key, public_key};
use super::noise::LinkSecrets;
use crate::wire::{Claim, HelloId, KEY_LEN, MAC_LEN, TicketId};

/// The first byte of a ticket as bytes.
const FORM: u8 = 1;

/// The right to go on with the lanes of one link, once.
#[derive(Clone, Debug)]
pub struct Ticket {
    id: TicketId,
    key: Secret,
    epoch: u64,
}

impl Ticket {
    /// The ticket of a link with these secrets, whose lanes went over `epoch` times before.
    pub fn of(secrets: &LinkSecrets, epoch: u64) -> Self {
        let name = derive(&secrets.resume, Purpose::TicketName);
        let mut id = TicketId([0; 16]);
        id.0.copy_from_slice(&name.as_bytes()[..16]);
        Self { id, key: derive(&secrets.resume, Purpose::TicketKey), epoch }
    }

    /// Its name, which may be known to anyone.
    pub const fn id(&self) -> TicketId {
        self.id
    }

    /// How often the lanes went over to another link.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A claim for a hello of which `ephemeral` are the random bytes.
    pub fn claim(&self, hello: HelloId, ephemeral: &Secret) -> Claim {
        let proof = self.code(hello, &public_key(&private_key(ephemeral)));
        Claim { ticket: self.id, epoch: self.epoch, proof }
    }

    /// Whether a claim is this ticket's, for the hello in which the client has this key.
    pub fn check(&self, hello: HelloId, ephemeral: &[u8; KEY_LEN], claim: &Claim) -> Verdict {
        let is_proven = is_equal(&self.code(hello, ephemeral), &claim.proof);
        if is_proven && claim.ticket == self.id && claim.epoch == self.epoch {
            Verdict::Valid
        } else {
            Verdict::Invalid
        }
    }

    /// How many bytes [`to_bytes`](Self::to_bytes) makes.
    pub const BYTES_LEN: usize = 57;

    /// The ticket as bytes, for the host's next run alone: whoever has them can go on with the
    /// session.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[FORM], &self.id.0[..], self.key.as_bytes(), &self.epoch.to_be_bytes()].concat()
    }

    /// What [`to_bytes`](Self::to_bytes) made.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[FORM], bytes) = bytes.split_first_chunk()? else { return None };
        let (id, bytes) = bytes.split_first_chunk()?;
        let (key, bytes) = bytes.split_first_chunk()?;
        let epoch = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { id: TicketId(*id), key: Secret::new(*key), epoch })
    }

    fn code(&self, hello: HelloId, ephemeral: &[u8; KEY_LEN]) -> [u8; MAC_LEN] {
        code(&self.key, &[&self.epoch.to_be_bytes(), &hello.0, ephemeral])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(byte: u8) -> LinkSecrets {
        let secret = |one| Secret::new([byte ^ one; Secret::LEN]);
        LinkSecrets {
            to_host: secret(1),
            to_client: secret(2),
            resume: secret(3),
            exporter: secret(4),
        }
    }

    #[test]
    fn a15_a_ticket_is_worth_nothing_without_its_secret_or_in_another_hello_or_epoch() {
        let ticket = Ticket::of(&secrets(9), 5);
        let (hello, ephemeral) = (HelloId([1; 8]), Secret::new([7; 32]));
        let public = public_key(&private_key(&ephemeral));
        let request = ticket.claim(hello, &ephemeral);
        assert_eq!(ticket.check(hello, &public, &request), Verdict::Valid);
        assert_eq!(ticket.check(HelloId([2; 8]), &public, &request), Verdict::Invalid);
        assert_eq!(ticket.check(hello, &[3; KEY_LEN], &request), Verdict::Invalid);
        let older = Claim { epoch: 4, ..request };
        assert_eq!(ticket.check(hello, &public, &older), Verdict::Invalid);
        let thief = Ticket { key: Secret::new([0; 32]), ..ticket.clone() };
        let forged = thief.claim(hello, &ephemeral);
        assert_eq!(ticket.check(hello, &public, &forged), Verdict::Invalid);
        let next = Ticket::of(&secrets(9), 6);
        assert_eq!(next.check(hello, &public, &request), Verdict::Invalid);
        assert_ne!(Ticket::of(&secrets(8), 5).id(), ticket.id());
    }

    #[test]
    fn a_ticket_comes_back_from_its_bytes_and_from_no_others() {
        let ticket = Ticket::of(&secrets(9), 5);
        let bytes = ticket.to_bytes();
        let back = Ticket::from_bytes(&bytes).expect("a ticket");
        assert_eq!((back.id(), back.epoch()), (ticket.id(), 5));
        let hello = HelloId([1; 8]);
        let ephemeral = Secret::new([7; 32]);
        let claim = ticket.claim(hello, &ephemeral);
        let public = public_key(&private_key(&ephemeral));
        assert_eq!(back.check(hello, &public, &claim), Verdict::Valid);
        let longer = [&bytes[..], &[0]].concat();
        for other in [&bytes[..56], &bytes[1..], &longer, b""] {
            assert!(Ticket::from_bytes(other).is_none(), "{other:?}");
        }
    }
}
