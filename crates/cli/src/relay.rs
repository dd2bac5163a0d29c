//! `moorline relay`: a path between clients and a host that loses, delays and damages as it is
//! told, and can be told while it runs.

mod engine;
mod words;

use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use moorline::Printable;

use crate::Outcome;
use crate::args;
use crate::input;
use crate::interrupt::Interrupt;
use crate::output;
pub(crate) use engine::{Outage, Relay, Route};
use words::Order;
pub(crate) use words::Shaping;

/// The most clients at a time; each costs one open file.
const CLIENTS_MAX: usize = 4_096;

/// Open files beside those of the clients.
const OTHER_FILES: u64 = 64;

/// How often is looked whether to stop.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &args::Relay) -> Outcome {
    let files = CLIENTS_MAX as u64 + OTHER_FILES;
    let clients_max = moorline_udp::raise_open_files_limit(files).min(files);
    let clients_max = clients_max.saturating_sub(OTHER_FILES).max(1) as usize;
    let route = Route { listen: args.listen, to: args.to, clients_max };
    let relay = Relay::start(route, &args.shaping)?;
    let interrupt = Interrupt::listen(None)?;
    let conditions = relay.status().conditions();
    output::line(format!("relay on {} to {}: {conditions}", relay.address, args.to));
    let lines = input::read_lines(|| {});
    while relay.is_running() && !interrupt.is_set() {
        match lines.recv_timeout(LOOK_INTERVAL) {
            Ok(Some(line)) => match obey(&relay, &line) {
                Ok(answer) => output::line(answer),
                Err(why) => output::line(format!("! {}", Printable(why.as_bytes()))),
            },
            // It goes on when there is nobody to tell it anything.
            Ok(None) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_INTERVAL),
        }
    }
    let status = relay.stop()?;
    output::line("stopped");
    status.lines().iter().for_each(output::line);
    Ok(ExitCode::SUCCESS)
}

/// Does what a typed line says, and answers it.
fn obey(relay: &Relay, line: &str) -> Result<String, String> {
    match Order::parse(line)? {
        Order::Status => Ok(relay.status().to_string()),
        Order::Set { directions, settings } => {
            relay.set(directions, &settings).map_err(|why| why.to_string())?;
            Ok(relay.status().conditions())
        }
    }
}
