//! Latency under loss on virtual time: one simulated link, and every contender over it.
//!
//! Nothing reads a clock, so a run is the same on every machine. Each contender is used as its
//! authors intend; its file says how.
//!
//! * `path`: the link.
//! * `contender`: what is compared, as the harness sees it.
//! * `world`: an application, its contender, and the link between its ends.
//! * `cases`: what is sent.
//! * `native`, `peer_kcp`, `peer_enet`, `peer_renet`, `peer_quinn`: the contenders.

pub mod cases;
pub mod contender;
pub mod path;
pub mod world;

mod native;
mod peer_enet;
mod peer_kcp;
mod peer_quinn;
mod peer_renet;

use contender::Contender;

/// Makes a contender.
pub type Make = fn() -> Box<dyn Contender>;

/// All contenders by name.
pub const ALL: &[(&str, Make)] = &[
    ("native", || native::Native::boxed(native::Mode::Default)),
    ("native, no repetition", || native::Native::boxed(native::Mode::NoRepetition)),
    ("native, no repetition, prompt", || native::Native::boxed(native::Mode::NoRepetitionPrompt)),
    ("kcp", || peer_kcp::Kcp::boxed(peer_kcp::Flush::EveryTick)),
    ("kcp-eager", || peer_kcp::Kcp::boxed(peer_kcp::Flush::AtOnce)),
    ("enet", peer_enet::Enet::boxed),
    ("renet", || peer_renet::Renet::boxed(300)),
    ("renet-r100", || peer_renet::Renet::boxed(100)),
    ("quinn", || peer_quinn::Quinn::boxed(peer_quinn::Tuning::Default)),
    ("quinn-tuned", || peer_quinn::Quinn::boxed(peer_quinn::Tuning::Games)),
];
