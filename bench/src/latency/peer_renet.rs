//! `renet` without its transport: 60,000 bytes a tick as by default. For what netcode would add, 19
//! bytes are counted for each datagram: header and tag.

use std::collections::VecDeque;
use std::time::Duration;

use moorline_link::Time;
use renet::{ChannelConfig, ConnectionConfig, RenetClient, RenetServer, SendType};

use super::contender::{Contender, End, Kind};

const RELIABLE: u8 = 0;
const STATE: u8 = 1;
const CLIENT: u64 = 1;

/// A client and a server.
#[derive(Debug)]
pub(super) struct Renet {
    client: RenetClient,
    server: RenetServer,
    updated_at: Time,
    leaving: [VecDeque<Vec<u8>>; 2],
    delivered: VecDeque<Vec<u8>>,
}

impl Renet {
    pub(super) fn boxed(resend_millis: u64) -> Box<dyn Contender> {
        let resend_time = Duration::from_millis(resend_millis);
        let channel = |channel_id, send_type| ChannelConfig {
            channel_id,
            max_memory_usage_bytes: 5 * 1_024 * 1_024,
            send_type,
        };
        let channels = vec![
            channel(RELIABLE, SendType::ReliableOrdered { resend_time }),
            channel(STATE, SendType::Unreliable),
        ];
        let config = ConnectionConfig {
            server_channels_config: channels.clone(),
            client_channels_config: channels,
            ..ConnectionConfig::default()
        };
        let mut client = RenetClient::new(config.clone());
        client.set_connected();
        let mut server = RenetServer::new(config);
        server.add_connection(CLIENT);
        let (updated_at, leaving, delivered) = (Time::ZERO, Default::default(), VecDeque::new());
        Box::new(Self { client, server, updated_at, leaving, delivered })
    }
}

impl Contender for Renet {
    fn is_ready(&self) -> bool {
        self.updated_at > Time::ZERO
    }

    fn has_given_up(&self) -> bool {
        self.client.is_disconnected()
    }

    fn send(&mut self, _: Time, kind: Kind, payload: &[u8]) -> bool {
        let channel = if kind == Kind::Reliable { RELIABLE } else { STATE };
        let takes = self.client.can_send_message(channel, payload.len());
        if takes {
            self.client.send_message(channel, payload.to_vec());
        }
        takes
    }

    fn tick(&mut self, now: Time) {
        let elapsed = now.since(self.updated_at);
        self.updated_at = now;
        self.client.update(elapsed);
        self.server.update(elapsed);
        self.leaving[0].extend(self.client.get_packets_to_send());
        let of_server = self.server.get_packets_to_send(CLIENT).expect("it is connected");
        self.leaving[1].extend(of_server);
    }

    fn receive(&mut self, _: Time, at: End, datagram: &[u8]) {
        match at {
            End::Client => self.client.process_packet(datagram),
            End::Host => {
                self.server.process_packet_from(datagram, CLIENT).expect("it is connected");
                for channel in [RELIABLE, STATE] {
                    while let Some(message) = self.server.receive_message(CLIENT, channel) {
                        self.delivered.push_back(message.to_vec());
                    }
                }
            }
        }
    }

    fn transmit(&mut self, _: Time, from: End, out: &mut Vec<u8>) -> bool {
        let next = self.leaving[from as usize].pop_front();
        next.is_some_and(|datagram| {
            *out = datagram;
            true
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn delivered(&mut self) -> Option<Vec<u8>> {
        self.delivered.pop_front()
    }

    fn datagram_overhead(&self) -> usize {
        19
    }
}
