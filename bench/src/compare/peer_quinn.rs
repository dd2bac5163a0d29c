//! `quinn` on a current-thread tokio runtime at each end: a task for each connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, RecvStream, SendStream,
    ServerConfig, TransportConfig,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::hub::{Hub, Line, Teller};
use super::seam::{Clients, Event, Lane, Peer, Server, told};
use super::sockets;
use super::trial::Trial;

/// `quinn`.
pub(super) const QUINN: Peer = Peer {
    name: "quinn",
    settings: "quinn 0.11 on a current-thread tokio runtime: default transport (Cubic, GSO/GRO \
               on), TLS 1.3, AES-256-GCM (ring), ECDSA P-256 certificate, no resumption, idle \
               timeout 30 s, client keep-alive 5 s; reliable: one uni stream each way with a u32 \
               length prefix; unreliable: DATAGRAM frame",
    is_reliable: true,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve,
    join,
};

/// Messages that may wait for a stream.
const WAITING_MAX: usize = 4_096;

/// Lives with a connection: its stream is opened, its messages are told.
async fn attend(connection: Connection, number: u32, teller: Teller) {
    let Ok(stream) = connection.open_uni().await else { return };
    let (words, waiting) = unbounded_channel();
    tokio::spawn(write(stream, waiting));
    teller.connected(number, Line { words, datagrams: Some(connection.clone()) });
    tokio::spawn(accept(connection.clone(), number, teller.clone()));
    while let Ok(bytes) = connection.read_datagram().await {
        teller.tell(Event::Message(number, Lane::Unreliable), bytes.to_vec());
    }
    teller.tell(Event::Gone(number), Vec::new());
}

async fn accept(connection: Connection, number: u32, teller: Teller) {
    if let Ok(stream) = connection.accept_uni().await {
        read(stream, number, teller).await;
    }
}

async fn write(mut stream: SendStream, mut waiting: UnboundedReceiver<Vec<u8>>) {
    let (mut words, mut bytes) = (Vec::new(), Vec::new());
    // All that waits is written at once.
    while waiting.recv_many(&mut words, WAITING_MAX).await > 0 {
        bytes.clear();
        for word in words.drain(..) {
            bytes.extend((word.len() as u32).to_be_bytes());
            bytes.extend(word);
        }
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut stream: RecvStream, number: u32, teller: Teller) {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
        bytes.extend_from_slice(&chunk.bytes);
        let mut at = 0;
        while let Some(len) = bytes[at..].first_chunk() {
            let len = u32::from_be_bytes(*len) as usize;
            let Some(word) = bytes.get(at + 4..at + 4 + len) else { break };
            teller.tell(Event::Message(number, Lane::Reliable), word.to_vec());
            at += 4 + len;
        }
        bytes.drain(..at);
    }
}

fn transport(keep_alive: Option<Duration>) -> Result<Arc<TransportConfig>, String> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(Duration::from_secs(30)).map_err(told)?;
    transport.max_idle_timeout(Some(idle)).keep_alive_interval(keep_alive);
    Ok(Arc::new(transport))
}

struct Quinn {
    hub: Hub,
    _endpoint: Endpoint,
}

fn serve(_: &Trial) -> Result<(Box<dyn Server>, String), String> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(told)?;
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(told)?;
    let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut config = ServerConfig::with_single_cert(vec![certificate], key).map_err(told)?;
    config.transport_config(transport(None)?);
    let hub = Hub::new()?;
    let endpoint = {
        let _context = hub.runtime.enter();
        let runtime = Arc::new(quinn::TokioRuntime);
        let socket = sockets::of_server()?;
        Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map_err(told)?
    };
    let address = endpoint.local_addr().map_err(told)?;
    let (accepting, teller) = (endpoint.clone(), hub.teller.clone());
    hub.runtime.spawn(async move {
        let mut number = 0;
        while let Some(incoming) = accepting.accept().await {
            let teller = teller.clone();
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    attend(connection, number, teller).await;
                }
            });
            number += 1;
        }
    });
    Ok((Box::new(Quinn { hub, _endpoint: endpoint }), format!("{address} {hex}")))
}

impl Server for Quinn {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        self.hub.poll(deadline, payload)
    }

    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        self.hub.send(to, lane, payload)
    }
}

struct QuinnClients {
    first: u32,
    hub: Hub,
    to: SocketAddr,
    config: ClientConfig,
}

fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let (address, hex) = invitation.split_once(' ').ok_or("no certificate")?;
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let certificate: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.ok_or("no certificate")?)).map_err(told)?;
    let provider = Arc::new(quinn::rustls::crypto::ring::default_provider());
    let tls = quinn::rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&quinn::rustls::version::TLS13])
        .map_err(told)?;
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.resumption = quinn::rustls::client::Resumption::disabled();
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(told)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport(Some(Duration::from_secs(5)))?);
    Ok(Box::new(QuinnClients {
        first: trial.first,
        hub: Hub::new()?,
        to: address.parse().map_err(told)?,
        config,
    }))
}

impl Clients for QuinnClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        let _context = self.hub.runtime.enter();
        let endpoint = Endpoint::client(sockets::address_of(self.first + client)).map_err(told)?;
        let connecting = endpoint.connect_with(self.config.clone(), self.to, "localhost");
        let connecting = connecting.map_err(told)?;
        let teller = self.hub.teller.clone();
        self.hub.runtime.spawn(async move {
            if let Ok(connection) = connecting.await {
                attend(connection, client, teller).await;
            }
            drop(endpoint);
        });
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        self.hub.poll(deadline, payload)
    }

    fn send(&mut self, from: u32, lane: Lane, payload: &[u8]) -> bool {
        self.hub.send(from, lane, payload)
    }
}
