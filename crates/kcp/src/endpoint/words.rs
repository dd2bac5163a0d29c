//! What a received message means: a word of the session layer, or a message of the application.

use moorline_link::slots::SlotKey;
use moorline_link::{Control, LinkEvent, LinkId, Message, Port, Reason, Time};
use prost::Message as _;

use super::{KcpEndpoint, Side};
use crate::control::{self, LoginVerdict, Unreadable};
use crate::conversation::{Owner, RELIABLE};
use crate::envelope::Envelope;
use crate::kinds;
use crate::link::Phase;

/// Why a word of the session layer does not count.
enum Rejected {
    Unreadable,
    Unexpected,
}

impl From<Unreadable> for Rejected {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl KcpEndpoint {
    /// Lets a peer in that asked; what it sent meanwhile follows in order.
    pub(super) fn let_in(&mut self, now: Time, key: SlotKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Asked { held } = &mut link.phase else { return };
        let held = std::mem::take(held);
        link.phase = Phase::Up;
        let address = link.address;
        self.events.push_back(LinkEvent::Up { link: LinkId(key), address, resumes: None });
        for (kind, payload) in held {
            self.on_message(now, key, RELIABLE, Envelope { kind, payload: &payload });
        }
    }

    /// A message arrived on a link that is up.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        key: SlotKey,
        port: Port,
        envelope: Envelope<'_>,
    ) {
        if kinds::is_control(envelope.kind) {
            let heard = match port {
                RELIABLE => self.on_control(now, key, envelope),
                _ => Err(Rejected::Unexpected),
            };
            match heard {
                Ok(()) => {}
                Err(Rejected::Unreadable) => self.counts.malformed_control += 1,
                Err(Rejected::Unexpected) => self.counts.unexpected_control += 1,
            }
            return;
        }
        // A held message may follow a good-bye.
        if self.links.get(key).is_some() && self.is_news(key, envelope) {
            let message = Message { kind: envelope.kind, payload: envelope.payload.into() };
            self.events.push_back(LinkEvent::Message { link: LinkId(key), message });
        }
    }

    /// Whether a move or a state is newer than what this link said before of the same player. Other
    /// kinds always are.
    fn is_news(&mut self, key: SlotKey, envelope: Envelope<'_>) -> bool {
        let named = match envelope.kind {
            kinds::MOVE_INPUT => control::read_move(envelope.payload),
            kinds::PLAYER_STATE => control::read_state(envelope.payload),
            _ => return true,
        };
        let Ok(named) = named else {
            self.counts.malformed_sync += 1;
            return false;
        };
        let Some(link) = self.links.get_mut(key) else { return false };
        let keys_max = self.config.latest_keys_max;
        let news = link.ticks.is_news(envelope.kind, &named.player, named.tick, keys_max);
        if !news {
            self.counts.stale += 1;
        }
        news
    }

    fn on_control(
        &mut self,
        now: Time,
        key: SlotKey,
        envelope: Envelope<'_>,
    ) -> Result<(), Rejected> {
        // A held word may follow a good-bye.
        let Some(link) = self.links.get_mut(key) else { return Err(Rejected::Unexpected) };
        let payload = envelope.payload;
        let control = match (self.side, envelope.kind) {
            (_, kinds::LOGOUT_REQUEST) => return self.on_logout(now, key, payload),
            (Side::Host, kinds::LOGIN_REQUEST) => {
                let (identity, payload) = control::read_login(payload)?;
                // A second name cannot take the place of the one that is being judged.
                if link.identity.is_empty() {
                    link.identity.clone_from(&identity);
                }
                Control::Login { identity, payload }
            }
            (Side::Host, kinds::HEARTBEAT) => {
                kinds::Heartbeat::decode(payload).map_err(|_| Rejected::Unreadable)?;
                let beat = link.beats_heard;
                link.beats_heard = beat.wrapping_add(1);
                Control::Beat { beat }
            }
            (Side::Client, kinds::LOGIN_RESPONSE) => match control::read_login_answer(payload)? {
                LoginVerdict::Accepted { server_tick, payload } => {
                    link.phase = Phase::LoggedIn;
                    Control::LoginAccepted { server_tick, payload }
                }
                LoginVerdict::Refused(refusal) => Control::LoginRefused(refusal),
            },
            (Side::Client, kinds::HEARTBEAT_RESPONSE) => {
                let server_tick = control::read_beat_answer(payload)?;
                let beat = link.beats.pop_front().ok_or(Rejected::Unexpected)?;
                Control::BeatAnswer { beat, server_tick }
            }
            _ => return Err(Rejected::Unexpected),
        };
        self.events.push_back(LinkEvent::Control { link: LinkId(key), control });
        Ok(())
    }

    /// The peer said good-bye; what it repeats is still acknowledged for a while.
    fn on_logout(&mut self, now: Time, key: SlotKey, payload: &[u8]) -> Result<(), Rejected> {
        // Only a host has reasons to give: a client that leaves has left.
        let refusal = control::read_logout(payload)?.filter(|_| self.side == Side::Client);
        let reason = refusal.map_or(Reason::PeerLeft, Reason::Refused);
        self.tell_lost(key, reason);
        self.part(now, key, Owner::Parted);
        Ok(())
    }
}
