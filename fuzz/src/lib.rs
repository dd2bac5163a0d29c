//! What is fuzzed: functions of any bytes that end, whatever the bytes are, unless a promise is
//! broken.
//!
//! * `cargo xtask fuzz --seconds N [--target NAME]` looks for bytes that break one, guided by
//!   coverage.
//! * `cargo run -p moorline-fuzz -- NAME FILE...` runs a target on bytes that are there.
//! * `corpus/NAME/` holds bytes that reach all that was reached; a test runs every target on them.
//!
//! The modules:
//!
//! * `input`: bytes as a list of decisions.
//! * `decoders`: every decoder: what parses comes back as the same bytes.
//! * `handshake`: one client and one host that know each other.
//! * `strangers`: any datagrams at a host and a client between which a link is up.
//! * `peer`: any frames from a client or host that has the keys.
//! * `link_pair`: a pair of links, driven by random operations over a bad path.
//! * `kcp`: any datagrams at a KCP host.

mod decoders;
mod handshake;
mod input;
mod kcp;
mod link_pair;
mod peer;
mod strangers;

/// What is run on some bytes, and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, which is also that of its corpus.
    pub name: &'static str,
    /// Runs it.
    ///
    /// # Panics
    /// When a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "datagram", run: decoders::datagram },
    Target { name: "frames", run: decoders::frames },
    Target { name: "parameters", run: decoders::parameters },
    Target { name: "control", run: decoders::control },
    Target { name: "host_key", run: decoders::host_key },
    Target { name: "kcp_envelope", run: decoders::kcp_envelope },
    Target { name: "kcp_host", run: kcp::host },
    Target { name: "strangers", run: strangers::run },
    Target { name: "peer", run: peer::run },
    Target { name: "link_pair", run: link_pair::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
