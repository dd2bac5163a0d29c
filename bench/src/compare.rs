//! Moorline beside its peers on real sockets: what a server costs for what it does.
//!
//! Server and load run in processes of their own, and all messages are checked by both, for every
//! peer alike. Each peer is used as its authors intend; its file says how.
//!
//! * `seam`: what is compared, as the harness sees it.
//! * `trial`: the scenarios.
//! * `payload`, `ages`, `account`: messages that can be checked, and what is known of them and of
//!   a process.
//! * `orders`, `server`, `load`, `process`: the two processes and the conversation with them.
//! * `calls`, `namespace`: what the operating system counts, and where.
//! * `measure`: one trial; `plan`: all of them, interleaved between peers.
//! * `table`, `plots`, `report`: what they came to; `args`: what is asked for.
//! * `peer_*`: the peers; `sockets` for those that bring none, `hub` for those with tasks.

pub mod account;
mod ages;
pub mod args;
mod calls;
mod hub;
pub mod load;
pub mod measure;
pub mod namespace;
mod orders;
mod payload;
pub mod plan;
mod plots;
mod process;
pub mod report;
pub mod seam;
pub mod server;
mod sockets;
mod table;
pub mod trial;

mod peer_bare;
mod peer_batched;
mod peer_enet;
mod peer_kcp;
mod peer_moorline;
mod peer_quinn;
mod peer_renet;
mod peer_tokio_kcp;

use seam::Peer;

/// All peers, in the order of the tables.
pub const PEERS: &[Peer] = &[
    peer_moorline::MOORLINE,
    peer_moorline::TICKED,
    peer_enet::ENET,
    peer_renet::RENET,
    peer_kcp::KCP,
    peer_tokio_kcp::TOKIO_KCP,
    peer_quinn::QUINN,
    peer_bare::BARE,
    peer_bare::TICKED,
    peer_batched::BATCHED,
    peer_batched::SEGMENTED,
];

/// The peer of this name.
pub fn peer(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
