//! How long the longest logins take: those that make a table grow and pay for moving it.
//!
//! ```text
//! cargo run --release -p moorline-bench --bin growth            # up to 1,000,000 sessions
//! cargo run --release -p moorline-bench --bin growth -- 200000  # or as many
//! ```

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::time::{Duration, Instant};

use moorline_bench::Crowd;
use moorline_link::Time;
use moorline_session::LivenessPolicy;

/// How many of the longest are shown.
const SHOWN: usize = 8;

fn main() {
    let arg = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let sessions = arg.unwrap_or(1_000_000_u32).max(1);
    let mut crowd = Crowd::new(LivenessPolicy::default());
    let mut logins: Vec<(Duration, u32)> = (0..sessions)
        .map(|user| {
            let start = Instant::now();
            crowd.log_in(Time::from_millis(1_000), user..user + 1);
            (start.elapsed(), user)
        })
        .collect();
    logins.sort_unstable();
    println!("median of {sessions} logins: {:.1?}\n\nthe longest:", logins[logins.len() / 2].0);
    for (time, user) in logins.iter().rev().take(SHOWN) {
        println!("{time:>10.1?} with {user:>9} sessions there");
    }
}
