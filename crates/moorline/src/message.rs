//! Typed messages: a kind, a lane and a codec.

use std::error::Error;
use std::fmt;

use moorline_link::{Delivery, Lane, Payload};

/// A type that travels as a message.
///
/// ```
/// use moorline::{DecodeError, Lane, Message};
///
/// #[derive(Debug, PartialEq)]
/// struct Chat(String);
///
/// impl Message for Chat {
///     const KIND: u16 = 100;
///     const LANE: Lane = Lane::ReliableOrdered;
///
///     fn encode(&self, bytes: &mut Vec<u8>) {
///         bytes.extend_from_slice(self.0.as_bytes());
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
///         let text = str::from_utf8(bytes).map_err(|_| DecodeError::new("chat is not UTF-8"))?;
///         Ok(Chat(text.to_owned()))
///     }
/// }
/// ```
pub trait Message: Sized {
    /// Its number on the wire; one type, one number. Existing KCP peers use 1 to 5; 21 to 23, 40
    /// and 41 belong to the session layer there and are refused.
    const KIND: u16;

    /// How it travels.
    const LANE: Lane;

    /// On [`Lane::Latest`]: what this is the newest of (an entity's number, say). On
    /// [`Lane::ReliableOrdered`]: whose messages are in order with each other; over the native
    /// protocol, one that is lost does not hold those of other keys up. Of no meaning elsewhere.
    fn key(&self) -> u64 {
        0
    }

    /// Appends the encoded message.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Reads a message that a peer sent: any bytes at all.
    ///
    /// # Errors
    /// When the bytes are not one.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Bytes that are not the message they claim to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl DecodeError {
    /// An error that says what is wrong with the bytes.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed message: {}", self.0)
    }
}

impl Error for DecodeError {}

/// A message that arrived. It owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What it is.
    pub kind: u16,
    /// How it travelled.
    pub lane: Lane,
    /// The encoded message.
    pub payload: Payload,
}

impl Incoming {
    /// The message as `M`.
    ///
    /// # Errors
    /// When it is of another kind, or not a well-formed `M`.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        if self.kind != M::KIND {
            let (is, asked) = (self.kind, M::KIND);
            return Err(DecodeError::new(format!("it is of kind {is}, not {asked}")));
        }
        M::decode(&self.payload)
    }
}

/// Registers a type with the delivery policy.
pub trait DeliverMessage {
    /// The same policy with `M` on its lane.
    ///
    /// # Panics
    /// When the kind was given another lane before.
    #[must_use]
    fn with_message<M: Message>(self) -> Self;
}

impl DeliverMessage for Delivery {
    fn with_message<M: Message>(self) -> Self {
        self.with(M::KIND, M::LANE)
    }
}
