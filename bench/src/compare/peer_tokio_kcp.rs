//! `tokio_kcp` on a current-thread tokio runtime at each end.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_kcp::{KcpConfig, KcpListener, KcpNoDelayConfig, KcpStream};

use super::hub::{Hub, Line, Teller};
use super::peer_bare::{HELLO, lane};
use super::seam::{Clients, Event, Lane, Peer, Server, told};
use super::sockets;
use super::trial::Trial;

/// `tokio_kcp`.
pub(super) const TOKIO_KCP: Peer = Peer {
    name: "tokio_kcp",
    settings: "tokio_kcp 0.9 on a current-thread tokio runtime: KcpNoDelayConfig::fastest() \
               (nodelay, 10 ms, 2, nc), wnd 256/256, mtu 1400, message mode, flush on KCP's own \
               interval; no handshake (a message and its answer stand for it), no encryption; \
               unreliable: reliable ordered message (KCP has no other)",
    is_reliable: true,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve,
    join,
};

/// Longer than any message.
const MESSAGE_LEN_MAX: usize = 65_536;

fn config() -> KcpConfig {
    KcpConfig {
        mtu: 1_400,
        nodelay: KcpNoDelayConfig::fastest(),
        wnd_size: (256, 256),
        ..KcpConfig::default()
    }
}

/// Who answers the first message of the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Lives with a conversation, which is there when the first message came.
async fn attend(stream: KcpStream, number: u32, side: Side, teller: Teller) {
    let (mut reading, mut writing) = split(stream);
    if side == Side::Client && writing.write_all(HELLO).await.is_err() {
        return;
    }
    let mut buffer = vec![0; MESSAGE_LEN_MAX];
    if !reading.read(&mut buffer).await.is_ok_and(|len| len > 0) {
        return;
    }
    if side == Side::Server && writing.write_all(HELLO).await.is_err() {
        return;
    }
    let (words, waiting) = unbounded_channel();
    tokio::spawn(write(writing, waiting));
    teller.connected(number, Line { words, datagrams: None });
    read(reading, buffer, number, &teller).await;
    teller.tell(Event::Gone(number), Vec::new());
}

async fn write(mut stream: WriteHalf<KcpStream>, mut waiting: UnboundedReceiver<Vec<u8>>) {
    while let Some(word) = waiting.recv().await {
        // In message mode a write is a message.
        if stream.write_all(&word).await.is_err() {
            return;
        }
    }
}

async fn read(mut stream: ReadHalf<KcpStream>, mut buffer: Vec<u8>, number: u32, teller: &Teller) {
    while let Ok(len) = stream.read(&mut buffer).await {
        if len == 0 {
            return;
        }
        teller.tell(Event::Message(number, lane(&buffer[..len])), buffer[..len].to_vec());
    }
}

struct TokioKcp(Hub);

fn serve(_: &Trial) -> Result<(Box<dyn Server>, String), String> {
    let (hub, socket) = (Hub::new()?, sockets::of_server()?);
    let address = socket.local_addr().map_err(told)?;
    let mut listener = hub.runtime.block_on(async {
        let socket = UdpSocket::from_std(socket).map_err(told)?;
        KcpListener::from_socket(config(), socket).await.map_err(told)
    })?;
    let teller = hub.teller.clone();
    hub.runtime.spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attend(stream, number, Side::Server, teller.clone()));
            number += 1;
        }
    });
    Ok((Box::new(TokioKcp(hub)), address.to_string()))
}

impl Server for TokioKcp {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        self.0.poll(deadline, payload)
    }

    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        self.0.send(to, lane, payload)
    }
}

struct TokioKcpClients {
    first: u32,
    hub: Hub,
    to: SocketAddr,
}

fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    Ok(Box::new(TokioKcpClients {
        first: trial.first,
        hub: Hub::new()?,
        to: invitation.parse().map_err(told)?,
    }))
}

impl Clients for TokioKcpClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        let (teller, to) = (self.hub.teller.clone(), self.to);
        let number = self.first + client;
        let socket = sockets::of_client(number)?;
        self.hub.runtime.spawn(async move {
            let Ok(socket) = UdpSocket::from_std(socket) else { return };
            // Zero is for the server to choose.
            let (config, number) = (config(), number + 1);
            let stream = KcpStream::connect_with_socket_conv(&config, number, socket, to);
            if let Ok(stream) = stream.await {
                attend(stream, client, Side::Client, teller).await;
            }
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
