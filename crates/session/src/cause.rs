//! What made a session's life go on: a timer, something that a transport told, or a command.

use std::fmt;

use moorline_link::{Control, LinkEvent, Reason};

/// What made an [`Event`](crate::Event) happen, one step before its reason: which timer fired, what
/// kind of packet came, or which command the application gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The timer of the next heartbeat.
    BeatTimer,
    /// The timer of the early warning.
    DegradeTimer,
    /// The timer of the timeout.
    SilenceTimer,
    /// The timer of the time to log in.
    LoginTimer,
    /// The timer of the time to log in again.
    ReauthTimer,
    /// The timer of the next attempt.
    AttemptTimer,
    /// The timer of an attempt that takes too long.
    AttemptTimeoutTimer,
    /// The timer of the time for which a session is kept.
    KeepTimer,
    /// A packet that asks for a link, or completes one.
    LinkUp,
    /// A packet that ends the link, or the transport's own judgement that it is lost.
    LinkLost,
    /// A packet that proves a new address.
    NewAddress,
    /// A packet with a pass from another host.
    Pass,
    /// A packet without anything for the session, such as an acknowledgement.
    Acknowledgement,
    /// A packet with a login, or with another one.
    LoginPacket,
    /// A packet with the answer to a login, or that asks for another one.
    LoginAnswer,
    /// A packet with a heartbeat.
    Beat,
    /// A packet with the answer to a heartbeat.
    BeatAnswer,
    /// A packet with a message.
    Message,
    /// The command to connect.
    Connect,
    /// The command to reconnect.
    Reconnect,
    /// The command to log in, or again.
    Login,
    /// The command to ask for another login.
    AskLogin,
    /// The application's yes to a login.
    AcceptLogin,
    /// The application's no to a login.
    RefuseLogin,
    /// The command to send a message.
    Send,
    /// The command to end the session.
    Close,
    /// The command to end all sessions.
    Stop,
    /// The command to send everyone to another host.
    Drain,
    /// The start of a host that had this session before.
    Restore,
}

impl Cause {
    pub(crate) const fn of_link(event: &LinkEvent) -> Self {
        match event {
            LinkEvent::Asked { .. } | LinkEvent::Up { .. } => Self::LinkUp,
            LinkEvent::HandedOver { .. } => Self::Pass,
            LinkEvent::HandOverReady { .. } => Self::Drain,
            LinkEvent::LanesLost { reason: Reason::KeepExpired(_), .. } => Self::KeepTimer,
            LinkEvent::LanesLost { .. } => Self::Send,
            LinkEvent::Heard { .. } | LinkEvent::Delivered { .. } | LinkEvent::Backlog { .. } => {
                Self::Acknowledgement
            }
            LinkEvent::Control { control, .. } => match control {
                Control::Login { .. } | Control::LoginAgain { .. } => Self::LoginPacket,
                Control::LoginAccepted { .. }
                | Control::LoginRefused(_)
                | Control::LoginAsked { .. } => Self::LoginAnswer,
                Control::Beat { .. } => Self::Beat,
                Control::BeatAnswer { .. } => Self::BeatAnswer,
            },
            LinkEvent::Message { .. } => Self::Message,
            LinkEvent::AddressChanged { .. } => Self::NewAddress,
            LinkEvent::Lost { .. } => Self::LinkLost,
        }
    }
}

/// `timer: silence`, `packet: login` or `command: close`
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeatTimer => "timer: beat",
            Self::DegradeTimer => "timer: degrade",
            Self::SilenceTimer => "timer: silence",
            Self::LoginTimer => "timer: login",
            Self::ReauthTimer => "timer: login again",
            Self::AttemptTimer => "timer: attempt",
            Self::AttemptTimeoutTimer => "timer: attempt timeout",
            Self::KeepTimer => "timer: keep",
            Self::LinkUp => "packet: link up",
            Self::LinkLost => "packet: link lost",
            Self::NewAddress => "packet: new address",
            Self::Pass => "packet: pass",
            Self::Acknowledgement => "packet: acknowledgement",
            Self::LoginPacket => "packet: login",
            Self::LoginAnswer => "packet: login answer",
            Self::Beat => "packet: beat",
            Self::BeatAnswer => "packet: beat answer",
            Self::Message => "packet: message",
            Self::Connect => "command: connect",
            Self::Reconnect => "command: reconnect",
            Self::Login => "command: login",
            Self::AskLogin => "command: ask login",
            Self::AcceptLogin => "command: accept login",
            Self::RefuseLogin => "command: refuse login",
            Self::Send => "command: send",
            Self::Close => "command: close",
            Self::Stop => "command: stop",
            Self::Drain => "command: drain",
            Self::Restore => "command: restore",
        })
    }
}
