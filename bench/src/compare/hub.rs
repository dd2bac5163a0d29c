//! Peers with a task for each connection: their runtime, and the way between tasks and harness.

use std::time::Instant;

use quinn::Connection;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::seam::{Event, Lane, told};

/// Events that are taken from the tasks at a time.
const EVENTS_PER_LOOK: usize = 256;

/// A connection, as the harness sends to it.
pub(super) struct Line {
    /// What its task writes, in order.
    pub(super) words: UnboundedSender<Vec<u8>>,
    /// What takes datagrams; without it everything is a word.
    pub(super) datagrams: Option<Connection>,
}

/// The tasks' end.
#[derive(Clone)]
pub(super) struct Teller {
    events: UnboundedSender<(Event, Vec<u8>)>,
    lines: UnboundedSender<(u32, Line)>,
}

impl Teller {
    /// A connection is there.
    pub(super) fn connected(&self, number: u32, line: Line) {
        // Nobody who listens any more has to know.
        _ = self.lines.send((number, line));
        self.tell(Event::Connected(number), Vec::new());
    }

    /// Anything else.
    pub(super) fn tell(&self, event: Event, payload: Vec<u8>) {
        _ = self.events.send((event, payload));
    }
}

/// The harness's end, and a runtime on its thread.
pub(super) struct Hub {
    pub(super) runtime: Runtime,
    pub(super) teller: Teller,
    events: UnboundedReceiver<(Event, Vec<u8>)>,
    opened: UnboundedReceiver<(u32, Line)>,
    /// What was taken and not given yet, the next one last.
    taken: Vec<(Event, Vec<u8>)>,
    lines: Vec<Option<Line>>,
}

impl Hub {
    pub(super) fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(told)?;
        let (sender, events) = unbounded_channel();
        let (opener, opened) = unbounded_channel();
        let teller = Teller { events: sender, lines: opener };
        Ok(Self { runtime, teller, events, opened, taken: Vec::new(), lines: Vec::new() })
    }

    /// As [`Server::poll`](super::seam::Server::poll).
    pub(super) fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        if self.taken.is_empty() {
            let Self { runtime, events, taken, .. } = self;
            runtime.block_on(async {
                // Tasks run even if the deadline has passed.
                tokio::task::yield_now().await;
                let wait = events.recv_many(taken, EVENTS_PER_LOOK);
                _ = tokio::time::timeout_at(deadline.into(), wait).await;
            });
            taken.reverse();
        }
        let (event, bytes) = self.taken.pop()?;
        match event {
            Event::Connected(_) => {
                while let Ok((number, line)) = self.opened.try_recv() {
                    let at = number as usize;
                    if self.lines.len() <= at {
                        self.lines.resize_with(at + 1, || None);
                    }
                    self.lines[at] = Some(line);
                }
            }
            Event::Gone(number) => self.lines[number as usize] = None,
            Event::Message(..) => *payload = bytes,
        }
        Some(event)
    }

    /// As [`Server::send`](super::seam::Server::send).
    pub(super) fn send(&self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        let Some(Some(line)) = self.lines.get(to as usize) else { return false };
        match (&line.datagrams, lane) {
            (Some(connection), Lane::Unreliable) => {
                connection.send_datagram(payload.to_vec().into()).is_ok()
            }
            _ => line.words.send(payload.to_vec()).is_ok(),
        }
    }
}
