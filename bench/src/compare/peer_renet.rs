//! `renet` with `renet_netcode`: connect tokens and encryption.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use renet::{
    Bytes, ChannelConfig, ConnectionConfig, RenetClient, RenetServer, SendType, ServerEvent,
};
use renet_netcode::{
    ClientAuthentication, ConnectToken, NetcodeClientTransport, NetcodeServerTransport,
    ServerAuthentication, ServerConfig,
};

use super::seam::{Clients, Event, Lane, Peer, Server, told};
use super::sockets::{self, sleep_until};
use super::trial::Trial;

/// `renet`.
pub(super) const RENET: Peer = Peer {
    name: "renet",
    settings: "renet 2.0 + renet_netcode, ServerAuthentication::Secure (ChaCha20-Poly1305; \
               connect tokens made in the load process), resend_time 300 ms (default), 60000 \
               bytes per tick (default; 4 MB in echo); update, receive, send_packets once per \
               tick at both ends (1 ms in echo); encrypted; unreliable: Unreliable channel",
    is_reliable: true,
    // It panics above.
    clients_max: 1_024,
    message_len_max: usize::MAX,
    serve,
    join,
};

const PROTOCOL: u64 = 7;

/// Both ends are the same program's: the key need not be secret.
const KEY: [u8; 32] = [7; 32];

const LANES: [Lane; 2] = [Lane::Reliable, Lane::Unreliable];

type Told = VecDeque<(Event, Option<Bytes>)>;

fn config(trial: &Trial) -> ConnectionConfig {
    let channel = |channel_id, send_type| ChannelConfig {
        channel_id,
        max_memory_usage_bytes: 5 * 1_024 * 1_024,
        send_type,
    };
    let resend_time = Duration::from_millis(300);
    let channels = vec![
        channel(Lane::Reliable as u8, SendType::ReliableOrdered { resend_time }),
        channel(Lane::Unreliable as u8, SendType::Unreliable),
    ];
    let available_bytes_per_tick = if trial.is_bulk() { 4_000_000 } else { 60_000 };
    ConnectionConfig {
        available_bytes_per_tick,
        server_channels_config: channels.clone(),
        client_channels_config: channels,
    }
}

fn wall_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn next(events: &mut Told, payload: &mut Vec<u8>) -> Option<Event> {
    let (event, bytes) = events.pop_front()?;
    if let Some(bytes) = bytes {
        payload.clear();
        payload.extend_from_slice(&bytes);
    }
    Some(event)
}

struct Renet {
    server: RenetServer,
    transport: NetcodeServerTransport,
    updated_at: Instant,
    is_updated: bool,
    events: Told,
}

fn serve(trial: &Trial) -> Result<(Box<dyn Server>, String), String> {
    let socket = sockets::of_server()?;
    let address = socket.local_addr().map_err(told)?;
    let netcode = ServerConfig {
        current_time: wall_time(),
        max_clients: trial.clients as usize,
        protocol_id: PROTOCOL,
        public_addresses: vec![address],
        authentication: ServerAuthentication::Secure { private_key: KEY },
    };
    let renet = Renet {
        server: RenetServer::new(config(trial)),
        transport: NetcodeServerTransport::new(netcode, socket).map_err(told)?,
        updated_at: Instant::now(),
        is_updated: false,
        events: Told::new(),
    };
    Ok((Box::new(renet), address.to_string()))
}

impl Renet {
    fn update(&mut self) {
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.updated_at, now);
        self.server.update(elapsed);
        // An error of the socket shows in what does not arrive.
        _ = self.transport.update(elapsed, &mut self.server);
        while let Some(event) = self.server.get_event() {
            let event = match event {
                ServerEvent::ClientConnected { client_id } => Event::Connected(client_id as u32),
                ServerEvent::ClientDisconnected { client_id, .. } => Event::Gone(client_id as u32),
            };
            self.events.push_back((event, None));
        }
        for client in self.server.clients_id() {
            for lane in LANES {
                while let Some(bytes) = self.server.receive_message(client, lane as u8) {
                    self.events.push_back((Event::Message(client as u32, lane), Some(bytes)));
                }
            }
        }
    }
}

impl Server for Renet {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        if !self.is_updated {
            self.is_updated = true;
            self.update();
        }
        let event = next(&mut self.events, payload);
        if event.is_none() {
            sleep_until(deadline);
        }
        event
    }

    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        let (to, channel) = (u64::from(to), lane as u8);
        let takes = self.server.can_send_message(to, channel, payload.len());
        if takes {
            self.server.send_message(to, channel, payload.to_vec());
        }
        takes
    }

    fn tick(&mut self) {
        self.transport.send_packets(&mut self.server);
        self.is_updated = false;
    }
}

struct Client {
    client: RenetClient,
    transport: NetcodeClientTransport,
    updated_at: Instant,
    is_in: bool,
    is_gone: bool,
}

struct RenetClients {
    to: SocketAddr,
    config: ConnectionConfig,
    clients: Vec<Client>,
    events: Told,
}

fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let (to, config) = (invitation.parse().map_err(told)?, config(trial));
    Ok(Box::new(RenetClients { to, config, clients: Vec::new(), events: Told::new() }))
}

impl Clients for RenetClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        let (now, id) = (wall_time(), u64::from(client));
        let token = ConnectToken::generate(now, PROTOCOL, 300, id, 15, vec![self.to], None, &KEY);
        let connect_token = token.map_err(told)?;
        let authentication = ClientAuthentication::Secure { connect_token };
        let socket = sockets::of_client(client)?;
        self.clients.push(Client {
            client: RenetClient::new(self.config.clone()),
            transport: NetcodeClientTransport::new(now, authentication, socket).map_err(told)?,
            updated_at: Instant::now(),
            is_in: false,
            is_gone: false,
        });
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        let event = next(&mut self.events, payload);
        if event.is_none() {
            sleep_until(deadline);
        }
        event
    }

    fn send(&mut self, from: u32, lane: Lane, payload: &[u8]) -> bool {
        let client = &mut self.clients[from as usize].client;
        let takes = client.can_send_message(lane as u8, payload.len());
        if takes {
            client.send_message(lane as u8, payload.to_vec());
        }
        takes
    }

    fn tick(&mut self, client: u32) {
        let it = &mut self.clients[client as usize];
        if it.is_gone {
            return;
        }
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut it.updated_at, now);
        it.client.update(elapsed);
        _ = it.transport.update(elapsed, &mut it.client);
        if it.client.is_disconnected() {
            it.is_gone = true;
            self.events.push_back((Event::Gone(client), None));
            return;
        }
        if !it.is_in && it.client.is_connected() {
            it.is_in = true;
            self.events.push_back((Event::Connected(client), None));
        }
        for lane in LANES {
            while let Some(bytes) = it.client.receive_message(lane as u8) {
                self.events.push_back((Event::Message(client, lane), Some(bytes)));
            }
        }
        _ = it.transport.send_packets(&mut it.client);
    }
}
