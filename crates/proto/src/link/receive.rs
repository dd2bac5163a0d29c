//! A packet's way in: number, tag, replay, and only then its frames.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use moorline_link::{Control, Ecn, Message, Origin, Reason, Refusal, RefusalCode, Time};

use super::ending::Ending;
use super::{ClockSample, EARLY_BYTES_MAX, KEPT_PATIENCES, Link, Sink};
use crate::crypto::OpenError;
use crate::lanes::{Received, Violation};
use crate::recovery::sender::AckFacts;
use crate::seq::NUMBER_MAX;
use crate::wire::{
    AckCompact, AckDelay, AckRanges, Asks, ControlWord, EcnCount, Frame, Frames, MESSAGE_CHARGE,
    Notice, Place, ShortHeader,
};

/// Why a packet did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// It does not open.
    NotOpened(OpenError),
}

/// What makes a link end while a packet is read.
enum End {
    Violation(&'static str),
    Peer(Reason),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation.0)
    }
}

impl Link {
    /// Takes a packet in, which is decrypted in place. The reason if the link is lost with it.
    ///
    /// # Errors
    /// When the packet does not open: nothing changed then but a count.
    pub fn receive(
        &mut self,
        now: Time,
        Origin { from, ecn }: Origin,
        (header, packet): (&ShortHeader, &mut [u8]),
        sink: &mut Sink<'_>,
    ) -> Result<Option<Reason>, Drop> {
        let len = packet.len();
        let (opened, plaintext) = match self.keys.opener.open(header, packet) {
            Ok(opened) => opened,
            Err(error) => {
                let is_forged = error == OpenError::Forged;
                if is_forged && self.keys.opener.on_forged().is_err() {
                    self.ending = Ending::Over;
                    return Ok(Some(Reason::Exhausted));
                }
                return Err(Drop::NotOpened(error));
            }
        };
        let committed = self.keys.commit(opened);
        self.heard_at = now;
        self.received.add(len);
        if committed.is_update {
            self.forget_keys_at =
                Some(now + self.sender.rtt().patience(Duration::ZERO) * KEPT_PATIENCES);
        }
        if !self.is_confirmed {
            self.is_confirmed = true;
            self.path.on_first(from);
            sink.up(self.path.address());
        }
        if committed.is_newest && self.connection.is_none() {
            self.path.on_newest(now, from, len);
        }
        let events_before = sink.events.len();
        let (asks, end) = self.read_frames(now, from, plaintext, sink);
        sink.ready.clear();
        self.acks.on_packet(now, committed.number.value(), asks);
        if ecn == Ecn::Congested {
            self.acks.on_marked(now, asks);
        }
        self.tell_ready(now);
        self.ending.on_packet(now);
        let reason = end.and_then(|end| self.end_with(now, end));
        if reason.is_none() && self.ending.is_no() && sink.events.len() == events_before {
            sink.heard();
        }
        Ok(reason)
    }

    /// The reason to tell, if the link was not over already.
    fn end_with(&mut self, now: Time, end: End) -> Option<Reason> {
        let was_alive = self.ending.is_no();
        let reason = match end {
            End::Peer(reason) => {
                self.ending = Ending::Over;
                reason
            }
            End::Violation(what) => {
                let farewell = Refusal::new(RefusalCode::Violation, what);
                self.ending = Ending::leave(now, Some(farewell), self.parting_interval());
                Reason::Violation(what)
            }
        };
        was_alive.then_some(reason)
    }

    /// Reads frame after frame until one ends the link, and says what the packet asks for.
    fn read_frames(
        &mut self,
        now: Time,
        from: SocketAddr,
        plaintext: &[u8],
        sink: &mut Sink<'_>,
    ) -> (Asks, Option<End>) {
        let mut asks = Asks::Nothing;
        for frame in Frames::new(plaintext) {
            let Ok(frame) = frame else {
                return (asks, Some(End::Violation("a packet is malformed")));
            };
            asks = asks.max(frame.asks());
            if let Err(end) = self.on_frame(now, from, &frame, sink) {
                return (asks, Some(end));
            }
        }
        (asks, None)
    }

    fn on_frame(
        &mut self,
        now: Time,
        from: SocketAddr,
        frame: &Frame<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), End> {
        match frame {
            Frame::Padding { .. } | Frame::AckNow | Frame::Extension(_) => {}
            Frame::AckCompact(ack) => self.on_ack_compact(now, ack)?,
            Frame::AckRanges(ack) => self.on_ack_ranges(now, ack)?,
            Frame::Close(notice) => return Err(End::Peer(self.farewell(*notice))),
            Frame::Ping { sent } => self.asked.pong = Some((*sent, clock_ticks(now))),
            Frame::Pong { sent, received, answered } => {
                self.on_pong(now, *sent, *received, *answered);
            }
            Frame::PathChallenge(bytes) => {
                self.asked.path_response = Some(*bytes);
                // The way there may have changed as well.
                self.sender.on_path_in_doubt();
            }
            Frame::PathResponse(bytes) => {
                let ip_before = self.path.address().ip();
                if self.path.on_response(from, bytes) {
                    if from.ip() != ip_before {
                        self.sender.on_migration();
                    }
                    self.sender.on_path_in_doubt();
                    if self.ending.is_no() {
                        sink.moved(from);
                    }
                }
            }
            Frame::MaxData { bytes } => self.outbox.set_limit(*bytes),
            Frame::Settled => self.is_peer_settled = true,
            _ if !self.ending.is_no() => {}
            Frame::Beat { beat } if self.connection.is_none() => {
                sink.control(Control::Beat { beat: *beat });
            }
            Frame::BeatAnswer { beat, server_tick } if self.connection.is_some() => {
                let (beat, server_tick) = (*beat, *server_tick);
                sink.control(Control::BeatAnswer { beat, server_tick });
            }
            Frame::Beat { .. } | Frame::BeatAnswer { .. } => {
                return Err(End::Violation("a beat comes from the wrong side"));
            }
            Frame::Message(message) => {
                self.moved_at = now;
                self.inbox.on_message(message, sink.ready)?;
                self.deliver(sink)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, sink: &mut Sink<'_>) -> Result<(), End> {
        while let Some(received) = sink.ready.poll() {
            if received.place != Place::Control {
                self.give(received, sink)?;
                continue;
            }
            let word = ControlWord::parse(received.kind, &received.payload)
                .map_err(|_| End::Violation("a word of the session layer is malformed"))?;
            let is_for_host = matches!(
                word,
                ControlWord::Login { .. } | ControlWord::LoginAgain { .. } | ControlWord::Ready
            );
            if is_for_host == self.connection.is_some() {
                return Err(End::Violation(
                    "a word of the session layer comes from the wrong side",
                ));
            }
            let is_welcome = matches!(word, ControlWord::LoginAccepted { .. });
            if let ControlWord::Pass(pass) = word {
                self.pass = Some(Box::new(*pass));
                self.outbox.hold();
            }
            if matches!(word, ControlWord::Ready) {
                self.is_ready = true;
                sink.ready_to_go();
            }
            word.control().into_iter().for_each(|control| sink.control(control));
            if is_welcome && let Some(early) = self.early.take() {
                early
                    .messages
                    .into_iter()
                    .for_each(|early| sink.message(early.kind, early.payload));
            }
        }
        Ok(())
    }

    /// Gives a message to the session layer, which expects none before its login is answered.
    fn give(&mut self, received: Received, sink: &mut Sink<'_>) -> Result<(), End> {
        let Received { kind, payload, .. } = received;
        let Some(early) = &mut self.early else {
            sink.message(kind, payload);
            return Ok(());
        };
        early.bytes += payload.len() + MESSAGE_CHARGE as usize;
        if early.bytes > EARLY_BYTES_MAX {
            return Err(End::Violation("too much was sent before the login was answered"));
        }
        early.messages.push_back(Message { kind, payload });
        Ok(())
    }

    /// Only a host has reasons to give: a client that leaves has left.
    fn farewell(&self, notice: Option<Notice<'_>>) -> Reason {
        match notice {
            Some(notice) if self.connection.is_some() => Reason::Refused(notice.refusal()),
            _ => Reason::PeerLeft,
        }
    }

    fn on_ack_compact(&mut self, now: Time, ack: &AckCompact) -> Result<(), End> {
        let expected = self.keys.sealer.next_number().map_or(NUMBER_MAX, |next| next.value());
        let unsent = End::Violation("what was not sent was acknowledged");
        let Some(largest) = ack.largest.expand(expected) else { return Err(unsent) };
        let facts = Self::facts(ack.delay, ack.ecn);
        self.on_ack(now, facts, compact_ranges(largest, ack.received))
    }

    fn on_ack_ranges(&mut self, now: Time, ack: &AckRanges<'_>) -> Result<(), End> {
        let facts = Self::facts(ack.delay, ack.ecn);
        self.on_ack(now, facts, ack.ranges())
    }

    fn facts(delay: AckDelay, ecn: Option<EcnCount>) -> AckFacts {
        AckFacts { delay: delay.duration(), marks: ecn.map(EcnCount::value) }
    }

    fn on_ack(
        &mut self,
        now: Time,
        facts: AckFacts,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Result<(), End> {
        self.sender
            .on_ack(now, facts, ranges)
            .map_err(|_| End::Violation("what was not sent was acknowledged"))?;
        self.take_done();
        Ok(())
    }

    /// The exchange that took least says most about the peer's clock (after NTP, RFC 5905).
    fn on_pong(&mut self, now: Time, sent: u32, received: u32, answered: u32) {
        let ticks = clock_ticks(now);
        let there = received.wrapping_sub(sent).cast_signed();
        let back = answered.wrapping_sub(ticks).cast_signed();
        let held = answered.wrapping_sub(received);
        let round_trip = u64::from(ticks.wrapping_sub(sent).saturating_sub(held)) * TICK_MICROS;
        let round_trip = Duration::from_micros(round_trip);
        let ahead = i64::midpoint(there.into(), back.into());
        let sample = ClockSample { ahead_micros: ahead * TICK_MICROS as i64, round_trip };
        // A sample ages: what was best long ago says nothing of a clock that drifts.
        let is_better = self.clock.is_none_or(|best| round_trip <= best.round_trip * 9 / 8);
        if is_better && self.asked.pinged.take() == Some(sent) {
            self.clock = Some(sample);
        }
    }
}

/// The unit of times on the wire.
pub(super) const TICK_MICROS: u64 = 16;

/// The time as it travels.
pub(super) const fn clock_ticks(now: Time) -> u32 {
    (now.as_micros() / TICK_MICROS) as u32
}

/// What a compact acknowledgement tells of, the latest first.
fn compact_ranges(largest: u64, received: u32) -> impl Iterator<Item = RangeInclusive<u64>> {
    // Bit 0 is the largest itself.
    let mut bits = u64::from(received) << 1 | 1;
    let mut top = largest;
    std::iter::from_fn(move || {
        let skipped = bits.trailing_zeros();
        if bits == 0 {
            return None;
        }
        top = top.checked_sub(skipped.into())?;
        bits >>= skipped;
        let run = bits.trailing_ones();
        let end = top;
        let start = end.saturating_sub(u64::from(run) - 1);
        bits >>= run;
        // Numbers before the first end the list.
        match end.checked_sub(run.into()) {
            Some(next) => top = next,
            None => bits = 0,
        }
        Some(start..=end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_acknowledgement_is_ranges() {
        let ranges = |largest, received| compact_ranges(largest, received).collect::<Vec<_>>();
        assert_eq!(ranges(100, u32::MAX), [68..=100]);
        assert_eq!(ranges(100, 0), [100..=100]);
        assert_eq!(ranges(100, 0b1101), [99..=100, 96..=97]);
        assert_eq!(ranges(100, 1 << 31), [100..=100, 68..=68]);
        assert_eq!(ranges(2, u32::MAX), [0..=2]);
        assert_eq!(ranges(2, u32::MAX << 2), [2..=2]);
        assert_eq!(ranges(0, u32::MAX), [0..=0]);
        assert_eq!(ranges(2, u32::MAX << 1), [2..=2, 0..=0]);
    }
}
