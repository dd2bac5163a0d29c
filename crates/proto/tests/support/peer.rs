//! A client by hand, whose packets can hold anything. Fuzz targets use it too.

use std::net::SocketAddr;

use moorline_link::{LinkEvent, Port, Time, Transport};
use moorline_proto::Endpoint;
use moorline_proto::crypto::{
    HostPublicKey, Initiator, LinkSecrets, PacketKeys, Precheck, Secret, Setting,
};
use moorline_proto::wire::{
    Answer, ClientHello, ClientParams, ConnectionId, Datagram, Direction, HelloId, Limits, Suite,
    TokenKind, VERSION,
};

const LIMITS: Limits = Limits {
    datagram_len_max: 1_452,
    ack_delay_max_millis: 25,
    idle_millis: 30_000,
    data_max: 1 << 20,
};

/// A client by hand, whose packets can hold anything.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its keys.
    pub(crate) keys: PacketKeys,
    /// The host's name for its link.
    pub(crate) connection: ConnectionId,
}

impl Peer {
    /// Shakes hands with a host that lets everyone in.
    ///
    /// # Panics
    /// When the host does not.
    pub(crate) fn at(
        host: &mut Endpoint,
        public: &HostPublicKey,
        from: SocketAddr,
        now: Time,
    ) -> Self {
        let params =
            ClientParams { application: 0, version_max: VERSION, limits: LIMITS, resume: None };
        let (mut payload, mut noise, mut prologue) = (Vec::new(), Vec::new(), Vec::new());
        params.emit(&mut payload);
        hello(&[]).emit_prologue(&mut prologue);
        let (suite, psk, ephemeral) = (Suite::ChaCha, Secret::new([0; 32]), Secret::new([4; 32]));
        let setting = Setting { suite, prologue: &prologue, psk: &psk };
        let started = Initiator::start(&setting, public, &ephemeral, &payload, &mut noise);
        let initiator = started.expect("a good key");
        let (mut asked, mut out) = (hello(&noise), Vec::new());
        asked.emit_covered(&mut out);
        asked.mac = Precheck::of(public).code(&out);
        asked.emit(&mut out);
        host.handle_datagram(now, Port(0), from, &out);
        while let Some(event) = host.poll_event() {
            if let LinkEvent::Asked { link, .. } = event {
                host.accept(now, link);
            }
        }
        assert!(host.poll_transmit(now, &mut out).is_some(), "a hello is answered");
        let Ok(Datagram::ServerHello(answer)) = Datagram::parse(Direction::ToClient, &out) else {
            panic!("a server hello");
        };
        let mut payload = Vec::new();
        let secrets: LinkSecrets =
            initiator.finish(answer.noise, &mut payload).expect("the host's answer");
        let Ok(Answer::Accepted(params)) = Answer::parse(&payload) else { panic!("a yes") };
        let keys = PacketKeys::client(params.suite, &secrets);
        Self { keys, connection: params.connection }
    }

    /// A packet of these bytes, as good as any.
    ///
    /// # Panics
    /// When millions were sealed.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let begun = self.keys.sealer.begin(Some(self.connection), None, &mut packet);
        let header = begun.expect("not exhausted");
        packet.extend_from_slice(plaintext);
        self.keys.sealer.seal(&header, &mut packet).expect("not exhausted");
        packet
    }
}

fn hello(noise: &[u8]) -> ClientHello<'_> {
    ClientHello {
        id: HelloId(*b"hello id"),
        suite: Suite::ChaCha,
        token_kind: TokenKind::None,
        token: &[],
        cookie: None,
        noise,
        mac: [0; 16],
    }
}
