//! What the endpoint counts, each cause under a name for the operator.

use moorline_link::transport::Counter;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $field:ident => $name:literal,)+) => {
        /// How often each cause was met since the endpoint began.
        #[derive(Debug, Default)]
        pub(super) struct Counts {
            $($(#[doc = $doc])+ pub(super) $field: u64,)+
        }

        impl Counts {
            /// All of them by name, in the order of a datagram's way through the endpoint.
            pub(super) fn list(&self) -> Vec<Counter> {
                vec![$(Counter { name: $name, value: self.$field },)+]
            }
        }
    };
}

counts! {
    /// Datagrams that are no packet of this side.
    malformed => "native_malformed",
    /// First packets without the proof that their sender knows the host's key.
    precheck_failed => "native_precheck_failed",
    /// First packets of a version that is not spoken here, which were told so.
    unknown_version => "native_unknown_version",
    /// First packets that were asked to show where they come from; nothing was kept of them.
    retries => "native_retries",
    /// First packets that came again and were answered as before, or not at all.
    hellos_repeated => "native_hellos_repeated",
    /// First packets dropped because there are as many links as there may be.
    limit_links => "native_limit_links",
    /// First packets dropped because their address has as many links as it may have.
    limit_address => "native_limit_address",
    /// First packets dropped because too many links of their address wait for their client.
    limit_half_open => "native_limit_half_open",
    /// Links that made room for newer ones before their client answered.
    half_open_evicted => "native_half_open_evicted",
    /// Links whose client did not answer in time.
    half_open_expired => "native_half_open_expired",
    /// First packets with a token that nobody here can read.
    unknown_token => "native_unknown_token",
    /// First packets that do not open, though their sender knows the host's key.
    hello_forged => "native_hello_forged",
    /// Clients that were told no in the handshake.
    refused => "native_refused",
    /// Packets of no known link.
    stray => "native_stray",
    /// Of these, how many were told that their link is gone.
    resets_sent => "native_resets_sent",
    /// Packets that were here already, or are too old to know.
    replayed => "native_replayed",
    /// Packets whose tag is wrong.
    forged => "native_forged",
    /// Answers of hosts that belong to no attempt of this client.
    stray_answers => "native_stray_answers",
    /// Lost links whose lanes made room for those of others.
    kept_evicted => "native_kept_evicted",
    /// Lost links whose lanes were kept for as long as they may be.
    kept_expired => "native_kept_expired",
    /// Datagrams of links of siblings, passed on to them.
    passed_on => "native_passed_on",
    /// Of these, those that were dropped, as the driver did not take what came before.
    passed_on_full => "native_passed_on_full",
    /// Links that would have gone on with lanes which went over to another one.
    superseded => "native_superseded",
    /// Answers dropped because the driver did not take what came before.
    transmit_full => "native_transmit_full",
}
