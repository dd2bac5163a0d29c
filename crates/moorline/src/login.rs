//! Login requests, answered now or later, here or on another thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moorline_link::{Identity, Refusal};
use moorline_session::SessionId;
use moorline_udp::Waker;

/// Someone asks to be logged in. Answer with [`accept`](Self::accept) or
/// [`refuse`](Self::refuse): at once, or later from any thread. A request that is dropped without
/// an answer ends when its time to log in is over.
#[derive(Debug)]
#[must_use = "answer it, now or later"]
pub struct LoginRequest {
    /// The session that would be theirs.
    pub session: SessionId,
    /// Who they say they are: short printable text, otherwise unchecked.
    pub identity: Identity,
    /// What their application sent along: a password, a token, anything; any bytes at all.
    pub payload: Vec<u8>,
    /// Whether this is another login of a session that goes on meanwhile, as the server
    /// [asked](crate::Server::ask_login) for it or the user's application
    /// [wanted](crate::Client::login_again) it. It must be accepted as the same user's.
    pub again: bool,
    pub(crate) answers: Answers,
}

impl LoginRequest {
    /// Lets them in as who they say they are.
    pub fn accept(self) {
        self.answers.put(self.session, Answer::Accept { identity: None, payload: Vec::new() });
    }

    /// Lets them in as `identity`, with a word to their application.
    pub fn accept_as(self, identity: Identity, payload: Vec<u8>) {
        self.answers.put(self.session, Answer::Accept { identity: Some(identity), payload });
    }

    /// Turns them down; their application sees why.
    pub fn refuse(self, refusal: Refusal) {
        self.answers.put(self.session, Answer::Refuse(refusal));
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Accept { identity: Option<Identity>, payload: Vec<u8> },
    Refuse(Refusal),
}

/// Where answers wait for the server. Bounded by the requests it handed out: each can be answered
/// once.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Shared>);

struct Shared {
    answers: Mutex<Vec<(SessionId, Answer)>>,
    waker: Waker,
    /// Whether the server waits for its sockets and would not look here by itself.
    is_waiting: AtomicBool,
}

impl Answers {
    pub(crate) fn new(waker: Waker) -> Self {
        let (answers, is_waiting) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        Self(Arc::new(Shared { answers, waker, is_waiting }))
    }

    pub(crate) fn take(&self) -> Vec<(SessionId, Answer)> {
        std::mem::take(&mut *self.0.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn has_any(&self) -> bool {
        !self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The server is about to wait, or back from it. Announce the wait first and take what is there
    /// second, or an answer between the two is slept over.
    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::SeqCst);
    }

    fn put(&self, session: SessionId, answer: Answer) {
        let mut answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push((session, answer));
        drop(answers);
        if self.0.is_waiting.load(Ordering::SeqCst) {
            // A wait that cannot be ended early ends at its next deadline.
            self.0.waker.wake().ok();
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
