//! The conversation between the harness and a process of its own: a line each way.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, channel};

/// What the harness tells a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To send; in a storm, for the load, to connect.
    Go,
    /// To forget ages and to tell its account.
    Begin,
    /// To tell its account.
    Mark,
    /// To send nothing any more.
    Quiet,
    /// To end.
    End,
}

impl Order {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Go, "go"),
        (Self::Begin, "begin"),
        (Self::Mark, "mark"),
        (Self::Quiet, "quiet"),
        (Self::End, "end"),
    ];

    /// The line.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(order, _)| *order == self).map_or("", |(_, word)| word)
    }
}

/// Orders as they come on the standard input. That it ends is an order as well: the harness is
/// gone.
pub(super) fn listen() -> Receiver<Order> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let order = Order::ALL.iter().find(|(_, word)| *word == line);
            if order.is_some_and(|(order, _)| sender.send(*order).is_err()) {
                return;
            }
        }
        _ = sender.send(Order::End);
    });
    receiver
}

/// Tells the harness something.
pub(super) fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    // A harness that is gone ends this process by its closed input.
    _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
