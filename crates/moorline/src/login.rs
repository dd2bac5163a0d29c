//! Login requests, answered now or later, here or on another thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_link::{Identity, Refusal};
use moorline_session::SessionId;

use crate::waker::Doorbell;

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
pub(crate) struct Answers {
    answers: Arc<Mutex<Vec<(SessionId, Answer)>>>,
    bell: Doorbell,
}

impl Answers {
    pub(crate) fn new(bell: Doorbell) -> Self {
        Self { answers: Arc::default(), bell }
    }

    pub(crate) fn take(&self) -> Vec<(SessionId, Answer)> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn has_any(&self) -> bool {
        !self.answers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn put(&self, session: SessionId, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push((session, answer));
        drop(answers);
        self.bell.ring();
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
