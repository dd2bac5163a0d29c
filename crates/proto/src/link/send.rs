//! What goes into the next packet.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{Ecn, Reason, Refusal, Time};

use super::ending::Ending;
use super::receive::clock_ticks;
use super::{Link, part_len};
use crate::crypto::Exhausted;
use crate::lanes::Tag;
use crate::lanes::outbox::Scope;
use crate::recovery::FrameId;
use crate::recovery::early::{Occasion, Repeat};
use crate::recovery::estimate::Urgency;
use crate::recovery::mtu::MTU_BASE;
use crate::recovery::sender::{Outgoing, Permit};
use crate::recovery::sent::PacketKind;
use crate::wire::{Asks, Frame, MessageFrame, Notice, Place, ShortHeader, TAG_LEN, varint_len};

/// How many frames of one packet are followed at most.
const FRAMES_MAX: usize = 200;
/// How many messages of the sync lanes are sent for the first time in one packet at most, so that
/// the last bits of their numbers always suffice.
const SYNC_MESSAGES_MAX: usize = 15;
/// How many beats and answers wait at most; a newer one is worth more than an older one.
const BEATS_MAX: usize = 4;
/// A lost frame of this length goes at once, a longer one waits for the pacer.
const PROMPT_LEN_MAX: usize = 300;
/// After so many packets that need no acknowledgement one is asked for, to know what arrived.
const QUIET_MAX: u32 = 32;
/// How far apart clock samples are.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// What is to be sent outside the lanes.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) is_ping: bool,
    /// The last ping that was sent and not answered.
    pub(super) pinged: Option<u32>,
    /// The ping to answer, and when it came.
    pub(super) pong: Option<(u32, u32)>,
    pub(super) path_response: Option<[u8; 8]>,
    /// A word of the application was pushed since the last packet.
    pub(super) is_flush: bool,
    beats: VecDeque<Beat>,
    /// Whether the limit of data was lost on its way.
    pub(super) is_limit: bool,
    /// A probe or copies that are due although nothing else is.
    occasion: Option<Occasion>,
}

#[derive(Clone, Copy, Debug)]
enum Beat {
    Ask(u32),
    Answer(u32, i64),
}

impl Asked {
    pub(super) fn beat(&mut self, beat: u32) {
        self.push(Beat::Ask(beat));
    }

    pub(super) fn beat_answer(&mut self, beat: u32, server_tick: i64) {
        self.push(Beat::Answer(beat, server_tick));
    }

    fn push(&mut self, beat: Beat) {
        if self.beats.len() >= BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back(beat);
    }

    /// Whether nothing is to be sent.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.is_anything() && !self.is_flush && self.occasion.is_none()
    }

    fn is_anything(&self) -> bool {
        self.is_ping
            || self.pong.is_some()
            || self.path_response.is_some()
            || !self.beats.is_empty()
            || self.is_limit
    }
}

/// What packets are built with, shared by all links of an endpoint.
#[derive(Debug, Default)]
pub struct Workbench {
    ids: Vec<FrameId>,
    repeats: Vec<Repeat>,
    scratch: Vec<u8>,
}

/// A packet that is being built.
struct Draft<'a> {
    out: &'a mut Vec<u8>,
    /// How long it may become, without its tag.
    len_max: usize,
    /// The longest frame that any packet has room for.
    frame_len_max: usize,
    bench: &'a mut Workbench,
    asks: Asks,
    /// Whether there is more in it than an acknowledgement.
    has_frames: bool,
    has_ack: bool,
    sync_messages: usize,
    /// Where the last frame begins, if it is a message, and how long its payload is.
    last_message: Option<(usize, usize)>,
}

impl Draft<'_> {
    const fn room(&self) -> usize {
        self.len_max.saturating_sub(self.out.len())
    }

    fn push(&mut self, frame: &Frame<'_>) -> bool {
        if frame.len() > self.room() {
            return false;
        }
        frame.emit(self.out);
        self.asks = self.asks.max(frame.asks());
        self.has_frames = true;
        self.last_message = None;
        true
    }

    /// Appends a message that is known to fit.
    fn push_message(&mut self, message: &MessageFrame<'_>) {
        let start = self.out.len();
        let frame = Frame::Message(*message);
        frame.emit(self.out);
        self.asks = self.asks.max(frame.asks());
        self.has_frames = true;
        self.last_message = Some((start, message.payload.len()));
    }

    /// The last message need not say where it ends.
    fn close_last_message(&mut self) {
        let Some((start, payload_len)) = self.last_message.take() else { return };
        let payload = self.out.len() - payload_len;
        self.out.drain(payload - varint_len(payload_len as u64)..payload);
        MessageFrame::end_with_packet(&mut self.out[start]);
    }
}

/// What is expected of a packet whose frames ask for this.
const fn kind_of(asks: Asks) -> PacketKind {
    match asks {
        Asks::Nothing => PacketKind::Quiet,
        Asks::Eventually => PacketKind::Unhurried,
        Asks::Soon | Asks::Now => PacketKind::Eliciting,
    }
}

impl Link {
    /// Writes the next packet over what `out` held and says where it goes, and whether routers may
    /// mark it; none when nothing is to be sent now. The reason if the link can send no more.
    pub fn poll_transmit(
        &mut self,
        now: Time,
        bench: &mut Workbench,
        out: &mut Vec<u8>,
    ) -> Result<Option<(SocketAddr, Ecn)>, Reason> {
        let sent = self.try_transmit(now, bench, out);
        sent.map_err(|Exhausted| {
            self.ending = Ending::Over;
            Reason::Exhausted
        })
    }

    /// Whether another packet may leave at once after one that left; in doubt it may.
    pub fn may_have_more(&self, now: Time) -> bool {
        !self.ending.is_no()
            || self.outbox.is_waiting()
            || self.sender.has_lost()
            || self.sender.has_occasion()
            || self.asked.is_anything()
            || self.asked.occasion.is_some()
            || self.path.is_asking()
            || self.acks.is_due(now)
            || self.inbox.limit_due().is_some()
            || self.sender.poll_mtu_probe().is_some()
    }

    fn try_transmit(
        &mut self,
        now: Time,
        bench: &mut Workbench,
        out: &mut Vec<u8>,
    ) -> Result<Option<(SocketAddr, Ecn)>, Exhausted> {
        if !self.is_confirmed || self.ending.is_over() {
            return Ok(None);
        }
        let is_settled = self.outbox.is_settled() && !self.outbox.is_waiting();
        self.ending.on_settled(now, is_settled, self.parting_interval());
        if let Ending::Leaving(_) = self.ending {
            let to = self.transmit_farewell(now, out)?;
            return Ok(to.map(|to| (to, Ecn::NotCapable)));
        }
        if let Some(to) = self.transmit_challenge(now, out)? {
            return Ok(Some((to, Ecn::NotCapable)));
        }
        if !self.path.is_proven() {
            return Ok(None);
        }
        let mut sent = self.transmit_frames(now, bench, out)?;
        if sent.is_none() && self.transmit_mtu_probe(now, out)? {
            sent = Some(Ecn::NotCapable);
        }
        Ok(sent.map(|ecn| (self.path.address(), ecn)))
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<ShortHeader, Exhausted> {
        while self.sender.leaves_out(self.keys.sealer.next_number()?) {
            self.keys.sealer.skip(1);
        }
        let acked = self.sender.largest_acked();
        if self.keys.is_update_due(self.key_packets_max) {
            self.keys.update(acked);
        }
        self.keys.sealer.begin(self.connection, acked, out)
    }

    fn seal(
        &mut self,
        now: Time,
        (header, out): (&ShortHeader, &mut Vec<u8>),
        (kind, occasion, ecn): (PacketKind, Occasion, Ecn),
        frames: &[FrameId],
    ) -> Result<(), Exhausted> {
        let number = self.keys.sealer.seal(header, out)?;
        let len = u16::try_from(out.len()).unwrap_or(u16::MAX);
        let is_marked = ecn == Ecn::Capable;
        self.sender.on_sent(now, Outgoing { number, len, kind, occasion, is_marked }, frames);
        self.sent.add(out.len());
        self.sent_at = now;
        Ok(())
    }

    /// Seals one that stands for itself, and that routers may not mark.
    fn seal_unmarked(
        &mut self,
        now: Time,
        packet: (&ShortHeader, &mut Vec<u8>),
        kind: PacketKind,
    ) -> Result<(), Exhausted> {
        self.seal(now, packet, (kind, Occasion::Regular, Ecn::NotCapable), &[])
    }

    fn transmit_farewell(
        &mut self,
        now: Time,
        out: &mut Vec<u8>,
    ) -> Result<Option<SocketAddr>, Exhausted> {
        if self.ending.poll_farewell(now).is_none() {
            return Ok(None);
        }
        let header = self.begin(out)?;
        if let Some(farewell) = self.ending.poll_farewell(now) {
            if self.is_ready && self.outbox.is_settled() {
                Frame::Settled.emit(out);
            }
            Frame::Close(farewell.map(Notice::of)).emit(out);
        }
        self.seal_unmarked(now, (&header, out), PacketKind::Quiet)?;
        self.ending.on_said(now);
        Ok(Some(self.path.address()))
    }

    /// Asks a new address whether the peer is there.
    fn transmit_challenge(
        &mut self,
        now: Time,
        out: &mut Vec<u8>,
    ) -> Result<Option<SocketAddr>, Exhausted> {
        let Some(challenge) = self.path.poll_challenge(now) else { return Ok(None) };
        let header = self.begin(out)?;
        Frame::PathChallenge(challenge.bytes).emit(out);
        if (out.len() + TAG_LEN) as u64 > challenge.len_max {
            self.path.on_asked(now, 0);
            return Ok(None);
        }
        // It is lost with the address if that is not the peer's, which says nothing of the path.
        self.seal_unmarked(now, (&header, out), PacketKind::Quiet)?;
        self.path.on_asked(now, out.len());
        Ok(Some(challenge.to))
    }

    fn transmit_mtu_probe(&mut self, now: Time, out: &mut Vec<u8>) -> Result<bool, Exhausted> {
        let Some(len) = self.sender.poll_mtu_probe() else { return Ok(false) };
        if self.sender.permit(now, len) != Permit::Now || !self.ending.is_no() {
            return Ok(false);
        }
        let header = self.begin(out)?;
        Frame::AckNow.emit(out);
        let len = usize::from(len).saturating_sub(out.len() + TAG_LEN);
        Frame::Padding { len }.emit(out);
        self.seal_unmarked(now, (&header, out), PacketKind::MtuProbe)?;
        Ok(true)
    }

    /// A packet of acknowledgements, control frames, what is lost, what is new, and copies, in this
    /// order, and whether routers may mark it; none if there was no reason for one.
    fn transmit_frames(
        &mut self,
        now: Time,
        bench: &mut Workbench,
        out: &mut Vec<u8>,
    ) -> Result<Option<Ecn>, Exhausted> {
        if std::mem::take(&mut self.asked.is_flush) {
            self.sender.on_flush(now);
        }
        let probe = self.sender.poll_occasion();
        self.asked.occasion = probe.or(self.asked.occasion);
        self.outbox.expire(now);
        self.fit_parts();
        let mtu = self.sender.mtu();
        let scope = match self.sender.permit(now, mtu) {
            Permit::Now => Some(Scope::All),
            Permit::Paced(_) => Some(Scope::Interactive),
            Permit::Full(_) => None,
        };
        let is_new = scope.is_some() && (self.outbox.is_waiting() || self.sender.has_lost());
        let is_asked = self.asked.is_anything()
            || self.asked.occasion.is_some()
            || self.acks.is_due(now)
            || self.inbox.limit_due().is_some();
        if !is_new && !is_asked {
            return Ok(None);
        }

        let occasion = self.asked.occasion.take().unwrap_or(Occasion::Regular);
        // A probe is no longer than any path carries, so that one which began to carry less is
        // not silent for ever.
        let is_probe = occasion == Occasion::Probe;
        // Nor is it marked, or the answer to a new path's question: some paths drop what is.
        let is_unmarked = is_probe || self.asked.path_response.is_some();
        let len_max = if is_probe { mtu.min(MTU_BASE) } else { mtu };
        let header = self.begin(out)?;
        let header_len = out.len();
        bench.ids.clear();
        let mut draft = Draft {
            len_max: usize::from(len_max) - TAG_LEN,
            frame_len_max: usize::from(mtu).saturating_sub(TAG_LEN + header_len),
            out,
            bench,
            asks: Asks::Nothing,
            has_frames: false,
            has_ack: false,
            sync_messages: 0,
            last_message: None,
        };
        self.put_ack(now, &mut draft);
        self.put_control(now, &mut draft);
        let scope = if is_probe { scope.or(Some(Scope::Interactive)) } else { scope };
        if let Some(scope) = scope {
            self.put_lost(&mut draft, scope);
            self.put_new(now, &mut draft, scope);
        }
        // What takes the room of a long part leaves by itself, and the part after it.
        let is_in_the_way = is_new && !draft.has_frames;
        let is_due = draft.has_ack && (self.acks.is_due(now) || is_in_the_way);
        if draft.has_frames || occasion != Occasion::Regular || is_due {
            self.put_repeats(now, &mut draft, occasion);
        }
        if is_probe && draft.asks < Asks::Soon {
            draft.push(&Frame::AckNow);
        }
        if draft.asks == Asks::Nothing && is_due && self.quiet >= QUIET_MAX {
            draft.push(&Frame::AckNow);
        }
        draft.close_last_message();
        let Draft { asks, has_frames, has_ack, .. } = draft;
        if out.len() == header_len || !has_frames && !is_due {
            return Ok(None);
        }
        let kind = kind_of(asks);
        let ecn = if is_unmarked { Ecn::NotCapable } else { self.sender.ecn_of(now, kind) };
        self.seal(now, (&header, out), (kind, occasion, ecn), &bench.ids)?;
        self.quiet = if asks == Asks::Nothing { self.quiet + 1 } else { 0 };
        if has_ack {
            self.acks.on_sent(now);
        }
        Ok(Some(ecn))
    }

    fn put_ack(&mut self, now: Time, draft: &mut Draft<'_>) {
        if self.acks.is_pending() {
            let room = draft.room();
            draft.has_ack = self.acks.emit(now, room, &mut draft.bench.scratch, draft.out);
        }
    }

    fn put_control(&mut self, now: Time, draft: &mut Draft<'_>) {
        if let Some(bytes) = self.asked.path_response.take() {
            draft.push(&Frame::PathResponse(bytes));
        }
        while let Some(beat) = self.asked.beats.pop_front() {
            let frame = match beat {
                Beat::Ask(beat) => Frame::Beat { beat },
                Beat::Answer(beat, server_tick) => Frame::BeatAnswer { beat, server_tick },
            };
            draft.push(&frame);
            let is_old = self.pinged_at.is_none_or(|at| now.since(at) >= PING_INTERVAL);
            self.asked.is_ping |= is_old && matches!(beat, Beat::Ask(_));
        }
        if let Some((sent, received)) = self.asked.pong.take() {
            draft.push(&Frame::Pong { sent, received, answered: clock_ticks(now) });
        }
        if std::mem::take(&mut self.asked.is_ping) {
            let sent = clock_ticks(now);
            draft.push(&Frame::Ping { sent });
            self.asked.pinged = Some(sent);
            self.pinged_at = Some(now);
        }
        let due = self.inbox.limit_due();
        let lost = std::mem::take(&mut self.asked.is_limit).then(|| self.inbox.limit());
        if let Some(bytes) = due.or(lost) {
            let frame = Frame::MaxData { bytes };
            let len = frame.len() as u16;
            if draft.push(&frame) {
                self.inbox.on_limit_told(bytes);
                let id = self.sender.track(Tag::DATA_LIMIT.to_bits(), len, Urgency::Bulk);
                draft.bench.ids.extend(id);
            }
        }
    }

    /// What is lost goes first: the peer waits for it.
    fn put_lost(&mut self, draft: &mut Draft<'_>, scope: Scope) {
        while draft.bench.ids.len() < FRAMES_MAX {
            let room = match scope {
                Scope::All => draft.room(),
                Scope::Interactive => draft.room().min(PROMPT_LEN_MAX),
            };
            let frame_len_max = draft.frame_len_max;
            let Some(lost) = self.sender.take_lost(room, frame_len_max) else { return };
            let tag = Tag::from_bits(lost.tag);
            if tag == Tag::DATA_LIMIT {
                self.sender.forget(lost.id);
                self.asked.is_limit = true;
                continue;
            }
            if !self.outbox.on_lost(tag) {
                self.sender.forget(lost.id);
                continue;
            }
            match self.outbox.frame(tag) {
                Some(frame) if frame.len() <= draft.room() => {
                    draft.push_message(&frame);
                    draft.bench.ids.push(lost.id);
                }
                _ => {
                    self.sender.put_back(lost.id);
                    return;
                }
            }
        }
    }

    fn put_new(&mut self, now: Time, draft: &mut Draft<'_>, scope: Scope) {
        while draft.bench.ids.len() < FRAMES_MAX && draft.sync_messages < SYNC_MESSAGES_MAX {
            let Some((tag, urgency)) = self.outbox.next(draft.room(), scope) else { return };
            let Some(frame) = self.outbox.first_frame(tag) else { return };
            let len = frame.len();
            if !frame.place.is_reliable() {
                draft.sync_messages += 1;
            }
            if frame.place != Place::Unreliable {
                let id = self.sender.track(tag.to_bits(), len as u16, urgency);
                // There are as many as can be followed: the rest waits.
                let Some(id) = id else { return };
                draft.bench.ids.push(id);
            }
            draft.push_message(&frame);
            self.outbox.on_first_sent(now, tag, len);
        }
    }

    fn put_repeats(&mut self, now: Time, draft: &mut Draft<'_>, occasion: Occasion) {
        let mut repeats = std::mem::take(&mut draft.bench.repeats);
        self.sender.repeats(now, occasion, draft.room(), &mut repeats);
        for repeat in repeats.drain(..) {
            let is_here = draft.bench.ids.contains(&repeat.id);
            if is_here || draft.bench.ids.len() >= FRAMES_MAX {
                continue;
            }
            let tag = Tag::from_bits(repeat.tag);
            if tag == Tag::DATA_LIMIT {
                let bytes = self.inbox.limit();
                if draft.push(&Frame::MaxData { bytes }) {
                    draft.bench.ids.push(repeat.id);
                }
                continue;
            }
            match self.outbox.frame(tag) {
                Some(frame) if frame.len() <= draft.room() => {
                    draft.push_message(&frame);
                    draft.bench.ids.push(repeat.id);
                }
                Some(_) => {}
                None => self.sender.forget(repeat.id),
            }
        }
        draft.bench.repeats = repeats;
        if occasion != Occasion::Regular && draft.asks >= Asks::Soon && draft.room() > 0 {
            draft.push(&Frame::AckNow);
        }
    }

    /// Ends the link: what was taken for sending is still sent, for a bounded time; but not by a
    /// client whose login is not answered, as nobody means a login any more who leaves.
    pub fn close(&mut self, now: Time, farewell: Option<&Refusal>) {
        if self.ending.is_no() {
            let is_welcome = self.early.is_none();
            let until = if is_welcome { now + self.linger } else { now };
            self.ending = Ending::Lingering { farewell: farewell.cloned(), until };
        }
    }

    /// How far apart good-byes are.
    pub(super) fn parting_interval(&self) -> Duration {
        let patience = self.sender.rtt().patience(Duration::ZERO);
        patience.clamp(Duration::from_millis(10), Duration::from_millis(500))
    }

    /// Splits messages by what the path carries now.
    fn fit_parts(&mut self) {
        let mtu = self.sender.mtu();
        if std::mem::replace(&mut self.fitted_mtu, mtu) == mtu {
            return;
        }
        self.outbox.set_part_len(part_len(mtu, self.connection));
        // What is lost and too long now would wait for ever.
        let mut kept = Vec::new();
        while let Some(lost) = self.sender.take_lost(usize::MAX, usize::MAX) {
            let tag = Tag::from_bits(lost.tag);
            if tag == Tag::DATA_LIMIT || self.outbox.on_lost(tag) {
                kept.push(lost.id);
            } else {
                self.sender.forget(lost.id);
            }
        }
        kept.into_iter().rev().for_each(|id| self.sender.put_back(id));
    }
}
