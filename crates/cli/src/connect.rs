//! `moorline connect`: one session in the hand.

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use moorline::{Client, ClientConfig, ClientEvent, EventKind, Incoming, Message, State, Waker};

use crate::Outcome;
use crate::args::Connect;
use crate::echo::{self, Chat};
use crate::interrupt::Interrupt;
use crate::output;

/// Lines that may wait for a session that is not logged in.
const WAITING_MAX: usize = 64;

pub(crate) fn run(args: &Connect) -> Outcome {
    let mut config =
        ClientConfig::kcp_plaintext_unauthenticated(&args.name).with_delivery(echo::delivery());
    if let Some(port) = args.sync_port {
        config = config.with_sync_port(port);
    }
    let mut client = Client::connect(args.host, config)?;
    let waker = client.waker()?;
    let interrupt = Interrupt::listen(Some(waker.clone()))?;
    let lines = read_lines(waker);
    output::line(format!("connecting to {} as {}; /quit ends", args.host, args.name));
    let mut waiting: Option<String> = None;
    loop {
        if interrupt.is_set() || !talk(&mut client, &lines, &mut waiting) {
            break;
        }
        match client.poll_for(Duration::from_secs(1)) {
            Some(ClientEvent::Session(event)) => {
                // Once every two seconds is more than a person wants to read.
                let is_beat =
                    matches!(event.kind, EventKind::HeartbeatSent | EventKind::HeartbeatReceived);
                if !is_beat {
                    output::line(format!("* {event}"));
                }
                let is_final = client.state() == State::LoginFailed;
                if event.kind == EventKind::Disconnected || is_final {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Some(ClientEvent::Message(message)) => output::line(shown(&message)),
            Some(ClientEvent::Welcome { .. }) | None => {}
        }
    }
    close(&mut client)
}

/// Lines from standard input, read on a thread of their own, as a read cannot be given up. The last
/// one sent means that there are no more.
fn read_lines(waker: Waker) -> Receiver<Option<String>> {
    let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(Some(line)).is_err() {
                return;
            }
            waker.wake().ok();
        }
        sender.send(None).ok();
        waker.wake().ok();
    });
    receiver
}

/// Sends what was typed, as far as the session takes it; says whether to go on.
fn talk(
    client: &mut Client,
    lines: &Receiver<Option<String>>,
    waiting: &mut Option<String>,
) -> bool {
    // Bounded by what is typed; a session that takes nothing leaves the rest where it is.
    loop {
        let text = match waiting.take() {
            Some(text) => text,
            None => match lines.try_recv() {
                Ok(Some(text)) => text,
                Ok(None) => return false,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            },
        };
        if text.trim() == "/quit" {
            return false;
        }
        if text.is_empty() {
            continue;
        }
        if let Err(why) = client.send(&Chat(text.as_str().into())) {
            let is_for_now = client.state() != State::LoginFailed
                && !matches!(
                    why,
                    moorline::SendError::UnknownKind(_)
                        | moorline::SendError::Link(moorline::LinkSendError::TooLarge { .. })
                );
            if is_for_now {
                *waiting = Some(text);
                return true;
            }
            output::line(format!("! not sent: {why}"));
        }
    }
}

fn shown(message: &Incoming) -> String {
    match message.decode::<Chat>() {
        Ok(chat) if message.kind == Chat::KIND => {
            moorline::Printable(chat.0.as_bytes()).to_string()
        }
        _ => format!("< kind {}, {} bytes", message.kind, message.payload.len()),
    }
}

/// Says good-bye, and stays long enough for it to arrive.
fn close(client: &mut Client) -> Outcome {
    client.poll_for(Duration::from_millis(100));
    client.close();
    let end = std::time::Instant::now() + Duration::from_millis(200);
    while let Some(event) = client.poll_until(end) {
        if let ClientEvent::Session(event) = event {
            output::line(format!("* {event}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
