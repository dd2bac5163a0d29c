//! What the endpoint counts, each cause under a name for the operator.

use moorline_link::transport::Counter;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $field:ident => $name:literal,)+) => {
        /// How often each cause was met since the endpoint began.
        #[derive(Debug, Default)]
        pub(crate) struct Counts {
            $($(#[doc = $doc])+ pub(crate) $field: u64,)+
        }

        impl Counts {
            /// All of them by name, in the order of a datagram's way through the endpoint, and last
            /// what the outbox dropped because the driver did not take what came before.
            pub(crate) fn list(&self, transmit_full: u64) -> Vec<Counter> {
                vec![
                    $(Counter { name: $name, value: self.$field },)+
                    Counter { name: "kcp_transmit_full", value: transmit_full },
                ]
            }
        }
    };
}

counts! {
    /// Datagrams shorter than one segment's header, empty ones among them.
    too_short => "kcp_too_short",
    /// Datagrams longer than any that KCP makes.
    too_long => "kcp_too_long",
    /// Datagrams with a segment that breaks the format, or whose numbers are out of range.
    malformed_segment => "kcp_malformed_segment",
    /// Datagrams that acknowledge what was never sent, or echo a time that never was.
    bad_acknowledgement => "kcp_bad_acknowledgement",
    /// Datagrams of no known conversation that do not open one either.
    stray => "kcp_stray",
    /// Probes of unknown conversations that were answered; no state was made.
    probes_answered => "kcp_probes_answered",
    /// First datagrams dropped because there are as many links as there may be.
    limit_links => "kcp_limit_links",
    /// First datagrams dropped because their IP address has as many links as it may have.
    limit_address => "kcp_limit_address",
    /// First datagrams dropped because too many links wait for their login.
    limit_pending => "kcp_limit_pending",
    /// Links and sync endpoints that sent too much before their login.
    limit_pending_bytes => "kcp_limit_pending_bytes",
    /// Links and sync endpoints that were not logged in or bound in time.
    pending_expired => "kcp_pending_expired",
    /// Messages dropped because they are longer than the configuration allows.
    message_too_long => "kcp_message_too_long",
    /// Messages that are no envelope.
    malformed_envelope => "kcp_malformed_envelope",
    /// Envelopes whose kind is negative or above 65,535.
    unknown_kind => "kcp_unknown_kind",
    /// Words of the session layer that could not be read.
    malformed_control => "kcp_malformed_control",
    /// Words of the session layer from the wrong side, on the wrong lane or unasked for.
    unexpected_control => "kcp_unexpected_control",
    /// Moves and states without a readable player and tick.
    malformed_sync => "kcp_malformed_sync",
    /// Moves and states that came after a newer one of the same player.
    stale => "kcp_stale",
    /// Messages of sync endpoints that no logged-in link could be given.
    sync_refused => "kcp_sync_refused",
    /// Sync conversations that did not answer; their links use the reliable lane.
    sync_failed => "kcp_sync_failed",
}
