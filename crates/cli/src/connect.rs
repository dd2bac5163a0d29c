//! `moorline connect`: one session in the hand.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use moorline::{
    Client, ClientConfig, ClientEvent, Event, EventKind, Identity, Incoming, LinkSendError,
    Message, Printable, SendError, State,
};

use crate::Outcome;
use crate::args::Connect;
use crate::echo::{self, Chat};
use crate::input;
use crate::interrupt::Interrupt;
use crate::output;

/// After the end of its input a session goes on until it was quiet for the first of these, so that
/// what was piped in arrives and the answers are seen; and not for longer than the second.
const QUIET: Duration = Duration::from_millis(500);
const END_MAX: Duration = Duration::from_secs(10);

/// How long the good-bye has to arrive.
const LINGER: Duration = Duration::from_millis(300);

pub(crate) fn run(args: &Connect) -> Outcome {
    Identity::from_peer(args.name.as_bytes())?;
    let config = ClientConfig::new(&args.name, args.way.carrier()?);
    let config = config.with_delivery(echo::delivery());
    let mut client = Client::connect(args.host, config)?;
    let waker = client.waker()?;
    let interrupt = Interrupt::listen(Some(waker.clone()))?;
    // Without a wake it is read at the next look.
    let lines = input::read_lines(move || _ = waker.wake().ok());
    let mut typed = Typed { lines, waiting: None };
    output::line(format!("connecting to {} as {}; /quit ends", args.host, args.name));
    let mut end: Option<End> = None;
    loop {
        match typed.send(&mut client) {
            Next::GoOn => {}
            Next::End => _ = end.get_or_insert_with(End::now),
            Next::Quit => break,
        }
        if interrupt.is_set() || end.is_some_and(|end| end.is_quiet(&client, &typed)) {
            break;
        }
        if end.is_some_and(|end| end.at.elapsed() >= END_MAX) {
            return too_late(&mut client);
        }
        let Some(event) = client.poll_for(if end.is_some() { QUIET / 4 } else { QUIET }) else {
            continue;
        };
        show(args, &event);
        if let ClientEvent::Message(_) = event
            && let Some(end) = &mut end
        {
            end.heard_at = Instant::now();
        }
        if let ClientEvent::Session(event) = event
            && is_final(&client, &event)
        {
            return Ok(ExitCode::FAILURE);
        }
    }
    close(&mut client);
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Connect, event: &ClientEvent) {
    match event {
        ClientEvent::Session(event) => {
            let is_beat =
                matches!(event.kind, EventKind::HeartbeatSent | EventKind::HeartbeatReceived);
            if !is_beat || !args.no_beats {
                output::line(told(event));
            }
        }
        ClientEvent::Message(message) => output::line(shown(message)),
        _ => {}
    }
}

/// The event without whose it is, as there is but one session here.
fn told(event: &Event) -> String {
    let Event { at, kind, from, to, .. } = event;
    let reason = event.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let gap = event.gap.as_ref().map(|gap| format!(": {gap}")).unwrap_or_default();
    let cause = event.cause;
    if from == to {
        format!("* {at} {to}: {kind:?}{reason}{gap} [{cause}]")
    } else {
        format!("* {at} {from} -> {to}: {kind:?}{reason}{gap} [{cause}]")
    }
}

fn shown(message: &Incoming) -> String {
    match message.decode::<Chat>() {
        Ok(chat) if message.kind == Chat::KIND => Printable(chat.0.as_bytes()).to_string(),
        _ => format!("< kind {}, {} bytes", message.kind, message.payload.len()),
    }
}

/// Whether the session will not come back by itself.
fn is_final(client: &Client, event: &Event) -> bool {
    event.kind == EventKind::Disconnected || client.state() == State::LoginFailed
}

/// The input ended, and the session goes on for a moment.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    heard_at: Instant,
}

impl End {
    fn now() -> Self {
        let now = Instant::now();
        Self { at: now, heard_at: now }
    }

    fn is_quiet(&self, client: &Client, typed: &Typed) -> bool {
        let is_sent = client.state() == State::LoggedIn && typed.waiting.is_none();
        is_sent && self.heard_at.elapsed() >= QUIET
    }
}

/// What was typed and not sent yet.
struct Typed {
    lines: Receiver<Option<String>>,
    /// The session did not take it; it is tried again.
    waiting: Option<String>,
}

enum Next {
    GoOn,
    /// There is no more input.
    End,
    Quit,
}

impl Typed {
    /// Sends as much as the session takes; the rest stays where it is.
    fn send(&mut self, client: &mut Client) -> Next {
        // Bounded by what is typed.
        loop {
            let waiting = self.waiting.take().map(|text| Ok(Some(text)));
            let text = match waiting.unwrap_or_else(|| self.lines.try_recv()) {
                Ok(Some(text)) => text,
                Ok(None) | Err(TryRecvError::Disconnected) => return Next::End,
                Err(TryRecvError::Empty) => return Next::GoOn,
            };
            if text.trim() == "/quit" {
                return Next::Quit;
            }
            if text.is_empty() {
                continue;
            }
            match client.send(&Chat(text.as_str().into())) {
                Ok(()) => {}
                Err(
                    why @ (SendError::UnknownKind(_)
                    | SendError::Link(LinkSendError::TooLarge { .. })),
                ) => output::line(format!("! not sent: {why}")),
                Err(_) => {
                    self.waiting = Some(text);
                    return Next::GoOn;
                }
            }
        }
    }
}

/// The input ended, but the session never got so far as to be sent it.
fn too_late(client: &mut Client) -> Outcome {
    let why = client.session().failure().map(ToString::to_string);
    close(client);
    let why = why.unwrap_or_else(|| "what was typed could not be sent".to_owned());
    Err(format!("gave up {END_MAX:?} after the end of the input: {why}").into())
}

/// Says good-bye, and stays long enough for it to arrive.
fn close(client: &mut Client) {
    client.close();
    let end = Instant::now() + LINGER;
    // A poll may end early, if there was a line to read.
    while Instant::now() < end {
        if let Some(ClientEvent::Session(event)) = client.poll_until(end) {
            output::line(told(&event));
        }
    }
}
