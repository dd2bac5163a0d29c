//! What session layers say to each other over the control lane.

use std::time::Duration;

use moorline_link::Control;

use super::WireError;
use super::bytes::{Reader, put_block, put_varint, put_wide, unzigzag, zigzag};
use super::notice::Notice;
use super::params::PASS_LEN;

const LOGIN: u16 = 1;
const LOGIN_ACCEPTED: u16 = 2;
const LOGIN_REFUSED: u16 = 3;
const PASS: u16 = 4;
const LOGIN_ASKED: u16 = 5;
const LOGIN_AGAIN: u16 = 6;
const READY: u16 = 7;

/// The payload of a message on the control lane. Its kind is the message's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlWord<'a> {
    /// Client to host: who I am.
    Login {
        /// The name or credentials that the peer claims; unchecked.
        identity: &'a [u8],
        /// Whatever else the application sends along.
        payload: &'a [u8],
    },
    /// Host to client: welcome.
    LoginAccepted {
        /// The host's tick at that moment.
        server_tick: i64,
        /// Whatever the host's application sends along.
        payload: &'a [u8],
    },
    /// Host to client: no.
    LoginRefused(Notice<'a>),
    /// Host to client: with this another host with the same key knows you.
    Pass(&'a [u8; PASS_LEN]),
    /// Client to host: who I still am, while the session goes on.
    LoginAgain {
        /// The name or credentials that the peer claims; unchecked.
        identity: &'a [u8],
        /// Whatever else the application sends along.
        payload: &'a [u8],
    },
    /// Host to client: log in again, while the session goes on.
    LoginAsked {
        /// The session ends without it after so many milliseconds.
        within_millis: u64,
    },
    /// Client to host: all that I sent before your pass has arrived, and I begin nothing any more.
    Ready,
}

impl<'a> ControlWord<'a> {
    /// The kind of the message that carries it.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Login { .. } => LOGIN,
            Self::LoginAccepted { .. } => LOGIN_ACCEPTED,
            Self::LoginRefused(_) => LOGIN_REFUSED,
            Self::Pass(_) => PASS,
            Self::Ready => READY,
            Self::LoginAsked { .. } => LOGIN_ASKED,
            Self::LoginAgain { .. } => LOGIN_AGAIN,
        }
    }

    /// Reads the payload of a message of this kind.
    ///
    /// # Errors
    /// When it is malformed, or the kind is not known.
    pub fn parse(kind: u16, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(payload);
        match kind {
            LOGIN => {
                Ok(Self::Login { identity: reader.block(usize::MAX)?, payload: reader.rest() })
            }
            LOGIN_AGAIN => {
                Ok(Self::LoginAgain { identity: reader.block(usize::MAX)?, payload: reader.rest() })
            }
            LOGIN_ACCEPTED => Ok(Self::LoginAccepted {
                server_tick: unzigzag(reader.wide()?),
                payload: reader.rest(),
            }),
            LOGIN_REFUSED => {
                let notice = Notice::parse(&mut reader)?;
                if reader.is_empty() {
                    Ok(Self::LoginRefused(notice))
                } else {
                    Err(WireError::OutOfRange)
                }
            }
            PASS => {
                let pass = reader.array()?;
                if reader.is_empty() { Ok(Self::Pass(pass)) } else { Err(WireError::OutOfRange) }
            }
            READY if reader.is_empty() => Ok(Self::Ready),
            READY => Err(WireError::OutOfRange),
            LOGIN_ASKED => {
                let within_millis = reader.varint()?;
                if reader.is_empty() {
                    Ok(Self::LoginAsked { within_millis })
                } else {
                    Err(WireError::OutOfRange)
                }
            }
            other => Err(WireError::UnknownType(other.try_into().unwrap_or(u8::MAX))),
        }
    }

    /// Appends it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Login { identity, payload } | Self::LoginAgain { identity, payload } => {
                put_block(out, identity);
                out.extend_from_slice(payload);
            }
            Self::LoginAccepted { server_tick, payload } => {
                put_wide(out, zigzag(*server_tick));
                out.extend_from_slice(payload);
            }
            Self::LoginRefused(notice) => notice.emit(out),
            Self::LoginAsked { within_millis } => put_varint(out, *within_millis),
            Self::Pass(pass) => out.extend_from_slice(*pass),
            Self::Ready => {}
        }
    }

    /// What it tells the session layer; nothing if it is for the transport alone.
    pub fn control(&self) -> Option<Control> {
        Some(match *self {
            Self::Login { identity, payload } => {
                Control::Login { identity: identity.to_vec(), payload: payload.to_vec() }
            }
            Self::LoginAgain { identity, payload } => {
                Control::LoginAgain { identity: identity.to_vec(), payload: payload.to_vec() }
            }
            Self::LoginAccepted { server_tick, payload } => {
                Control::LoginAccepted { server_tick, payload: payload.to_vec() }
            }
            Self::LoginRefused(notice) => Control::LoginRefused(notice.refusal()),
            Self::LoginAsked { within_millis } => {
                Control::LoginAsked { within: Duration::from_millis(within_millis) }
            }
            Self::Pass(_) | Self::Ready => return None,
        })
    }
}
