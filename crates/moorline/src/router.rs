//! From kinds to typed handlers: at once, or when the application's own thread says so.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use moorline_link::Reason;
use moorline_session::SessionId;

use crate::message::{Incoming, Message};

/// What a handler may fail with; it ends the session that sent the message, and no other.
pub type HandlerError = Box<dyn Error + Send + Sync>;

type Run<C> = Box<dyn FnMut(&mut C, SessionId, &Incoming) -> Result<(), HandlerError> + Send>;

/// When a message meets its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// As soon as [`Router::route`] has it.
    Immediate,
    /// When [`Router::drain`] is called, first in, first out; at most `waiting_max` messages wait.
    Queued {
        /// How many may wait; [`Router::route`] gives back what does not fit.
        waiting_max: usize,
    },
}

/// Typed handlers by kind. `C` is whatever the handlers work on: the game, the server, both.
///
/// ```
/// # use moorline::{DecodeError, Lane, Message};
/// # struct Chat(String);
/// # impl Message for Chat {
/// #     const KIND: u16 = 100;
/// #     const LANE: Lane = Lane::ReliableOrdered;
/// #     fn encode(&self, bytes: &mut Vec<u8>) { bytes.extend_from_slice(self.0.as_bytes()); }
/// #     fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
/// #         Ok(Chat(String::from_utf8_lossy(bytes).into_owned()))
/// #     }
/// # }
/// use moorline::{Dispatch, Incoming, Router, SessionId};
///
/// let mut router = Router::new(Dispatch::Queued { waiting_max: 1_000 });
/// router.on(|log: &mut Vec<String>, _from, chat: Chat| {
///     log.push(chat.0);
///     Ok(())
/// });
///
/// let mut log = Vec::new();
/// let hello = Incoming { kind: 100, lane: Lane::ReliableOrdered, payload: b"hello".into() };
/// router.route(&mut log, SessionId(1), hello).expect("there is room and a handler");
/// assert!(log.is_empty());
/// router.drain(&mut log, 64);
/// assert_eq!(log, ["hello"]);
/// ```
pub struct Router<C> {
    dispatch: Dispatch,
    handlers: BTreeMap<u16, Run<C>>,
    waiting: VecDeque<(SessionId, Incoming)>,
}

/// A session whose message could not be handled; close it with [`Fault::reason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose message it was.
    pub session: SessionId,
    /// What it was.
    pub kind: u16,
    /// What went wrong.
    pub why: Arc<str>,
}

impl Fault {
    /// The reason to close the session with.
    pub fn reason(&self) -> Reason {
        Reason::HandlerFailed(self.why.clone())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}, message kind {}: {}", self.session, self.kind, self.why)
    }
}

impl Error for Fault {}

/// Why a message was not routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No handler takes this kind; the message is dropped.
    NoHandler(u16),
    /// As many messages wait as may; here it is back, for another try after a drain.
    Full(Incoming),
    /// Its handler failed; close the session.
    Fault(Fault),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandler(kind) => write!(f, "no handler takes messages of kind {kind}"),
            Self::Full(_) => f.write_str("the router's queue is full: drain it"),
            Self::Fault(fault) => fmt::Display::fmt(fault, f),
        }
    }
}

impl Error for RouteError {}

/// What a drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "sessions with faults are to be closed"]
pub struct Drained {
    /// Messages that met their handler.
    pub handled: usize,
    /// Messages that still wait.
    pub waiting: usize,
    /// Sessions to close.
    pub faults: Vec<Fault>,
}

impl<C> Router<C> {
    /// A router without handlers.
    pub fn new(dispatch: Dispatch) -> Self {
        Self { dispatch, handlers: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Sets the handler of `M`.
    ///
    /// # Panics
    /// When the kind has a handler already: two parts of the program want the same messages.
    pub fn on<M: Message>(
        &mut self,
        mut handler: impl FnMut(&mut C, SessionId, M) -> Result<(), HandlerError> + Send + 'static,
    ) {
        let boxed: Run<C> = Box::new(move |context, session, incoming| {
            handler(context, session, incoming.decode::<M>()?)
        });
        let before = self.handlers.insert(M::KIND, boxed);
        assert!(before.is_none(), "message kind {} has two handlers", M::KIND);
    }

    /// Takes a message: runs its handler, or lets it wait for [`drain`](Self::drain).
    ///
    /// # Errors
    /// When no handler takes its kind, the queue is full, or its handler failed.
    pub fn route(
        &mut self,
        context: &mut C,
        session: SessionId,
        message: Incoming,
    ) -> Result<(), RouteError> {
        if !self.handlers.contains_key(&message.kind) {
            return Err(RouteError::NoHandler(message.kind));
        }
        match self.dispatch {
            Dispatch::Immediate => {
                self.handle(context, session, &message).map_err(RouteError::Fault)
            }
            Dispatch::Queued { waiting_max } if self.waiting.len() >= waiting_max => {
                Err(RouteError::Full(message))
            }
            Dispatch::Queued { .. } => {
                self.waiting.push_back((session, message));
                Ok(())
            }
        }
    }

    /// Runs the handlers of at most `most` waiting messages, first in, first out. A handler that
    /// fails or panics is reported and stops nothing.
    pub fn drain(&mut self, context: &mut C, most: usize) -> Drained {
        let mut drained = Drained::default();
        for _ in 0..most {
            let Some((session, message)) = self.waiting.pop_front() else { break };
            drained.handled += 1;
            if let Err(fault) = self.handle(context, session, &message) {
                drained.faults.push(fault);
            }
        }
        drained.waiting = self.waiting.len();
        drained
    }

    /// Forgets what waits from a session that is gone.
    pub fn forget(&mut self, session: SessionId) {
        self.waiting.retain(|(from, _)| *from != session);
    }

    fn handle(
        &mut self,
        context: &mut C,
        session: SessionId,
        message: &Incoming,
    ) -> Result<(), Fault> {
        let kind = message.kind;
        let Some(handler) = self.handlers.get_mut(&kind) else { return Ok(()) };
        // What a panic leaves half done is the application's context; its session is closed.
        let outcome = catch_unwind(AssertUnwindSafe(|| handler(context, session, message)));
        let why: Arc<str> = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string().into(),
            Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())).into(),
        };
        Err(Fault { session, kind, why })
    }
}

impl<C> fmt::Debug for Router<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("dispatch", &self.dispatch)
            .field("kinds", &self.handlers.keys())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
