//! The host that `serve` and `demo` share: it echoes, relays and keeps score.

use std::sync::Arc;

use moorline::{
    DecodeError, DeliverMessage, Delivery, Incoming, Lane, Message, SendError, Server, Session,
    SessionId,
};

/// Words for everyone, on the reliable lane; the host puts the sender's name before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chat(pub(crate) Arc<str>);

/// Bytes that come back on the reliable lane.
#[derive(Clone, Debug)]
pub(crate) struct Echo(pub(crate) Vec<u8>);

/// Bytes that come back on the latest lane.
#[derive(Clone, Debug)]
pub(crate) struct Sync(pub(crate) Vec<u8>);

impl Message for Chat {
    const KIND: u16 = 100;
    const LANE: Lane = Lane::ReliableOrdered;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = str::from_utf8(bytes).map_err(|_| DecodeError::new("chat is not UTF-8"))?;
        Ok(Self(text.into()))
    }
}

impl Message for Echo {
    const KIND: u16 = 101;
    const LANE: Lane = Lane::ReliableOrdered;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}

impl Message for Sync {
    const KIND: u16 = 102;
    const LANE: Lane = Lane::Latest;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}

/// What the program's host and clients say to each other, and what KCP peers say.
pub(crate) fn delivery() -> Delivery {
    moorline::kcp::delivery().with_message::<Chat>().with_message::<Echo>().with_message::<Sync>()
}

/// What the echo host did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    /// Messages that came in.
    pub(crate) messages: u64,
    /// Answers that a session's queue had no room for.
    pub(crate) refused: u64,
    /// Messages that were not what their kind says.
    pub(crate) malformed: u64,
}

impl Score {
    /// Sends a message where it belongs: echoes back to whom they came from, words to everyone,
    /// anything else to everyone else as it is.
    pub(crate) fn answer(&mut self, server: &mut Server, from: SessionId, message: Incoming) {
        self.messages += 1;
        match message.kind {
            Echo::KIND | Sync::KIND => {
                let sent = server.send_bytes(from, message.kind, 0, &message.payload);
                self.note(&sent);
            }
            Chat::KIND => match message.decode::<Chat>() {
                Ok(chat) => {
                    let name = server.sessions().by_id(from).and_then(Session::identity);
                    let name = name.map_or_else(|| from.to_string(), ToString::to_string);
                    let chat = Chat(format!("{name}: {}", chat.0).into());
                    let told = server.broadcast(&chat, |_| true);
                    self.refused += told.map_or(0, |told| told.refused as u64);
                }
                Err(_) => self.malformed += 1,
            },
            kind => {
                let others = server.sessions().iter().map(Session::id);
                let others: Vec<SessionId> = others.filter(|id| *id != from).collect();
                for id in others {
                    let is_logged_in = server
                        .sessions()
                        .by_id(id)
                        .is_some_and(|session| session.state() == moorline::State::LoggedIn);
                    if is_logged_in {
                        let sent = server.send_bytes(id, kind, from.0, &message.payload);
                        self.note(&sent);
                    }
                }
            }
        }
    }

    fn note(&mut self, sent: &Result<(), SendError>) {
        if sent.is_err() {
            self.refused += 1;
        }
    }
}
