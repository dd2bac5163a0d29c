//! `quinn-proto`: TLS 1.3 with AES-128-GCM or AES-256-GCM by ring, one unidirectional stream on
//! which each message has its length before it as four bytes, and DATAGRAM frames for state.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_link::Time;
use quinn_proto::congestion::BbrConfig;
use quinn_proto::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ServerConfig, StreamEvent, StreamId, TransportConfig,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::contender::{Contender, End, Kind};

/// Which settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As they come: Cubic, an initial round trip of 333 ms, MTU discovery.
    Default,
    /// BBR, an initial round trip of 60 ms, acknowledgements within 5 ms, no fairness of streams.
    Games,
}

struct Side {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    leaving: VecDeque<Vec<u8>>,
}

/// A client and a server.
pub(super) struct Quinn {
    start: Instant,
    sides: [Side; 2],
    stream: Option<StreamId>,
    /// What the stream did not take yet.
    unwritten: Vec<u8>,
    reading: Option<StreamId>,
    read: Vec<u8>,
    is_ready: bool,
    has_given_up: bool,
    timeout: Option<Time>,
    delivered: VecDeque<Vec<u8>>,
}

impl std::fmt::Debug for Quinn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quinn").field("is_ready", &self.is_ready).finish_non_exhaustive()
    }
}

/// More bytes than this wait for the stream: the application sends later.
const UNWRITTEN_MAX: usize = 64 * 1_024;

impl Quinn {
    pub(super) fn boxed(tuning: Tuning) -> Box<dyn Contender> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let certificate = CertificateDer::from(made.cert);
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let transport = Arc::new(transport(tuning));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).expect("a store");
        client.transport_config(Arc::clone(&transport));
        let mut server = ServerConfig::with_single_cert(vec![certificate], key).expect("a key");
        server.transport_config(transport);

        let start = Instant::now();
        let endpoint = |server, seed| {
            let mut config = EndpointConfig::default();
            config.rng_seed(Some([seed; 32]));
            Endpoint::new(Arc::new(config), server, true, None)
        };
        let side = |endpoint, connection| Side { endpoint, connection, leaving: VecDeque::new() };
        let mut of_client = endpoint(None, 1);
        let connected = of_client.connect(start, client, address(End::Host), "localhost");
        let sides = [
            side(of_client, Some(connected.expect("a client connects"))),
            side(endpoint(Some(Arc::new(server)), 2), None),
        ];
        let mut quinn = Self {
            start,
            sides,
            stream: None,
            unwritten: Vec::new(),
            reading: None,
            read: Vec::new(),
            is_ready: false,
            has_given_up: false,
            timeout: None,
            delivered: VecDeque::new(),
        };
        quinn.drive(Time::ZERO);
        Box::new(quinn)
    }

    fn at(&self, now: Time) -> Instant {
        self.start + now.since(Time::ZERO)
    }

    /// Everything that a driver does after something happened.
    fn drive(&mut self, now: Time) {
        let at = self.at(now);
        self.write();
        for end in 0..2 {
            let side = &mut self.sides[end];
            let Some((handle, connection)) = &mut side.connection else { continue };
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = side.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            let mut out = Vec::new();
            while let Some(transmit) = connection.poll_transmit(at, 1, &mut out) {
                side.leaving.push_back(out[..transmit.size].to_vec());
                out.clear();
            }
        }
        self.take_events();
        self.read_stream();
        self.timeout = None;
        for side in &mut self.sides {
            let due =
                side.connection.as_mut().and_then(|(_, connection)| connection.poll_timeout());
            let due = due.map(|due| Time::ZERO + due.saturating_duration_since(self.start));
            self.timeout = moorline_link::time::earliest(self.timeout, due);
        }
    }

    fn write(&mut self) {
        let (Some(stream), Some((_, connection))) =
            (self.stream, self.sides[0].connection.as_mut())
        else {
            return;
        };
        // Nothing written would be a frame of its own.
        if self.unwritten.is_empty() {
            return;
        }
        // What a blocked stream does not take waits.
        let taken = connection.send_stream(stream).write(&self.unwritten).unwrap_or(0);
        self.unwritten.drain(..taken);
    }

    fn take_events(&mut self) {
        for end in 0..2 {
            let Some((_, connection)) = &mut self.sides[end].connection else { continue };
            while let Some(event) = connection.poll() {
                match event {
                    Event::Connected if end == 0 => {
                        self.stream = connection.streams().open(Dir::Uni);
                        self.is_ready = self.stream.is_some();
                    }
                    Event::Stream(StreamEvent::Opened { .. }) => {
                        self.reading = connection.streams().accept(Dir::Uni);
                    }
                    Event::DatagramReceived => {
                        while let Some(state) = connection.datagrams().recv() {
                            self.delivered.push_back(state.to_vec());
                        }
                    }
                    Event::ConnectionLost { .. } => self.has_given_up = true,
                    _ => {}
                }
            }
        }
    }

    fn read_stream(&mut self) {
        let (Some(stream), Some((_, connection))) =
            (self.reading, self.sides[1].connection.as_mut())
        else {
            return;
        };
        let mut receiving = connection.recv_stream(stream);
        if let Ok(mut chunks) = receiving.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                self.read.extend_from_slice(&chunk.bytes);
            }
            _ = chunks.finalize();
        }
        let mut at = 0;
        while let Some(len) = self.read[at..].first_chunk() {
            let len = u32::from_be_bytes(*len) as usize;
            let Some(payload) = self.read.get(at + 4..at + 4 + len) else { break };
            self.delivered.push_back(payload.to_vec());
            at += 4 + len;
        }
        self.read.drain(..at);
    }
}

fn transport(tuning: Tuning) -> TransportConfig {
    let mut transport = TransportConfig::default();
    if tuning == Tuning::Games {
        let mut frequency = AckFrequencyConfig::default();
        frequency.max_ack_delay(Some(Duration::from_millis(5)));
        transport
            .congestion_controller_factory(Arc::new(BbrConfig::default()))
            .initial_rtt(Duration::from_millis(60))
            .ack_frequency_config(Some(frequency))
            .send_fairness(false);
    }
    transport
}

fn address(end: End) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + end as u8], 9_000))
}

impl Contender for Quinn {
    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    fn send(&mut self, now: Time, kind: Kind, payload: &[u8]) -> bool {
        if kind == Kind::State {
            let Some((_, connection)) = &mut self.sides[0].connection else { return false };
            return connection.datagrams().send(payload.to_vec().into(), true).is_ok();
        }
        if self.unwritten.len() > UNWRITTEN_MAX {
            return false;
        }
        self.unwritten.extend((payload.len() as u32).to_be_bytes());
        self.unwritten.extend_from_slice(payload);
        self.drive(now);
        true
    }

    fn tick(&mut self, now: Time) {
        self.drive(now);
    }

    fn receive(&mut self, now: Time, at: End, datagram: &[u8]) {
        let instant = self.at(now);
        let from = if at == End::Host { End::Client } else { End::Host };
        let side = &mut self.sides[at as usize];
        let mut answer = Vec::new();
        let event =
            side.endpoint.handle(instant, address(from), None, None, datagram.into(), &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut side.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = side.endpoint.accept(incoming, instant, &mut answer, None);
                side.connection = Some(accepted.unwrap_or_else(|_| panic!("a server accepts")));
            }
            Some(DatagramEvent::Response(transmit)) => {
                side.leaving.push_back(answer[..transmit.size].to_vec());
            }
            None => {}
        }
        self.drive(now);
    }

    fn transmit(&mut self, _: Time, from: End, out: &mut Vec<u8>) -> bool {
        let next = self.sides[from as usize].leaving.pop_front();
        next.is_some_and(|datagram| {
            *out = datagram;
            true
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.timeout
    }

    fn handle_timeout(&mut self, now: Time) {
        let instant = self.at(now);
        for side in &mut self.sides {
            if let Some((_, connection)) = &mut side.connection
                && connection.poll_timeout().is_some_and(|due| due <= instant)
            {
                connection.handle_timeout(instant);
            }
        }
        self.drive(now);
    }

    fn delivered(&mut self) -> Option<Vec<u8>> {
        self.delivered.pop_front()
    }
}
