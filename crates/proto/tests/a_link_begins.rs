//! From the first hello to the first packets, with the parts that a host and a client use; every
//! byte of it is recorded in `vectors/link.txt`.

use std::fmt::Write;
use std::net::SocketAddr;

use moorline_link::{RefusalCode, Time};
use moorline_proto::crypto::{
    CookieKeys, HandshakeError, HostKey, Initiator, LinkSecrets, PacketKeys, Precheck, ResetKey,
    Responder, Secret, Setting, Verdict, is_reset,
};
use moorline_proto::seq::Seq16;
use moorline_proto::wire::{
    AckCompact, AckDelay, Answer, CLIENT_HELLO_LEN_MIN, ClientHello, ClientParams, ConnectionId,
    Datagram, Direction, Extent, Frame, Frames, HelloId, HostParams, Limits, MessageFrame, Notice,
    Place, Retry, ServerHello, Suite, TokenKind, VERSION,
};

const NOW: Time = Time::from_millis(5_000);
const ID: HelloId = HelloId(*b"hello id");
const CONNECTION: ConnectionId = ConnectionId(*b"conn. id");
const TOKEN: &[u8] = b"let me in";
const LIMITS: Limits = Limits {
    datagram_len_max: 1_452,
    ack_delay_max_millis: 25,
    idle_millis: 30_000,
    data_max: 1 << 20,
};

fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

fn address() -> SocketAddr {
    "192.0.2.7:40000".parse().expect("an address")
}

/// What a client keeps while it asks.
struct Asking {
    suite: Suite,
    initiator: Initiator,
    noise: Vec<u8>,
    precheck: Precheck,
}

impl Asking {
    fn new(suite: Suite, host: &HostKey) -> Self {
        let params =
            ClientParams { application: 77, version_max: VERSION, limits: LIMITS, resume: None };
        let (mut payload, mut noise) = (Vec::new(), Vec::new());
        params.emit(&mut payload);
        let mut prologue = Vec::new();
        hello(suite, &[]).emit_prologue(&mut prologue);
        let setting = Setting { suite, prologue: &prologue, psk: &secret(4) };
        let public = host.public();
        let started = Initiator::start(&setting, &public, &secret(2), &payload, &mut noise);
        let initiator = started.expect("a good key");
        Self { suite, initiator, noise, precheck: Precheck::of(&public) }
    }

    /// The hello, the same but for the cookie each time.
    fn ask(&self, cookie: Option<&[u8; 20]>) -> Vec<u8> {
        let mut hello = ClientHello { cookie, ..hello(self.suite, &self.noise) };
        let mut out = Vec::new();
        hello.emit_covered(&mut out);
        hello.mac = self.precheck.code(&out);
        hello.emit(&mut out);
        out
    }
}

fn hello(suite: Suite, noise: &[u8]) -> ClientHello<'_> {
    let (token_kind, token) = (TokenKind::Admission, TOKEN);
    ClientHello { id: ID, suite, token_kind, token, cookie: None, noise, mac: [0; 16] }
}

/// What a host has.
struct Host {
    key: HostKey,
    precheck: Precheck,
    cookies: CookieKeys,
    resets: ResetKey,
}

impl Host {
    fn new() -> Self {
        let key = HostKey::new(secret(1));
        Self {
            precheck: Precheck::of(&key.public()),
            cookies: CookieKeys::new(NOW, &secret(5)),
            resets: ResetKey::of(&key, 0),
            key,
        }
    }

    /// The answer to a hello, and the secrets if it is a yes.
    fn answer(
        &self,
        datagram: &[u8],
        refusal: Option<Notice<'_>>,
    ) -> (Vec<u8>, Option<LinkSecrets>) {
        let Ok(Datagram::ClientHello(hello)) = Datagram::parse(Direction::ToHost, datagram) else {
            return (Vec::new(), None);
        };
        if self.precheck.check(&hello, datagram) != Verdict::Valid {
            return (Vec::new(), None);
        }
        let mut out = Vec::new();
        match self.cookies.check(NOW, address(), hello.id, hello.cookie) {
            Verdict::Valid => {}
            Verdict::Invalid => return (out, None),
            Verdict::Absent => {
                let cookie = self.cookies.make(NOW, address(), hello.id);
                Retry { id: hello.id, cookie: &cookie }.emit(&mut out);
                return (out, None);
            }
        }
        let prologue = &datagram[..hello.prologue_len()];
        let setting = Setting { suite: hello.suite, prologue, psk: &secret(4) };
        let mut payload = Vec::new();
        let read = Responder::read(&setting, &self.key, hello.noise, &mut payload);
        let Ok(responder) = read else { return (out, None) };
        let params = ClientParams::parse(&payload).expect("what the client said");
        assert_eq!((params.application, params.version_max), (77, VERSION));
        let answer = match refusal {
            Some(notice) => Answer::Refused(notice),
            None => Answer::Accepted(HostParams {
                suite: hello.suite,
                connection: CONNECTION,
                reset_token: self.resets.token(CONNECTION),
                limits: LIMITS,
                resumed: None,
            }),
        };
        let (mut payload, mut noise) = (Vec::new(), Vec::new());
        answer.emit(&mut payload);
        let secrets = responder.answer(&secret(3), &payload, &mut noise).expect("a good key");
        ServerHello { id: hello.id, noise: &noise }.emit(&mut out);
        (out, refusal.is_none().then_some(secrets))
    }
}

fn cookie_of(datagram: &[u8]) -> [u8; 20] {
    match Datagram::parse(Direction::ToClient, datagram) {
        Ok(Datagram::Retry(retry)) if retry.id == ID => *retry.cookie,
        other => panic!("no cookie but {other:?}"),
    }
}

/// What a client makes of a host's answer.
fn finish(asking: &Asking, datagram: &[u8], payload: &mut Vec<u8>) -> Option<LinkSecrets> {
    match Datagram::parse(Direction::ToClient, datagram) {
        Ok(Datagram::ServerHello(hello)) if hello.id == ID => {
            asking.initiator.finish(hello.noise, payload).ok()
        }
        _ => None,
    }
}

fn message(payload: &[u8]) -> MessageFrame<'_> {
    let (place, seq) = (Place::Ordered(0), Some(Seq16(0)));
    MessageFrame { place, seq, kind: 7, fragment: None, extent: Extent::ToEnd, payload }
}

/// Seals some frames as the next packet.
fn seal(keys: &mut PacketKeys, to: Option<ConnectionId>, frames: &[Frame<'_>]) -> Vec<u8> {
    let mut packet = Vec::new();
    let header = keys.sealer.begin(to, None, &mut packet).expect("not exhausted");
    for frame in frames {
        frame.emit(&mut packet);
    }
    keys.sealer.seal(&header, &mut packet).expect("not exhausted");
    packet
}

/// Opens, commits, and looks at the frames.
fn open(
    keys: &mut PacketKeys,
    direction: Direction,
    packet: &[u8],
    see: impl FnOnce(Vec<Frame<'_>>),
) {
    let mut packet = packet.to_vec();
    let Ok(Datagram::Short(header)) = Datagram::parse(direction, &packet) else {
        panic!("no packet")
    };
    let (opened, frames) = keys.opener.open(&header, &mut packet).expect("authentic");
    see(Frames::new(frames).collect::<Result<_, _>>().expect("frames"));
    let _ = keys.commit(opened);
}

/// One whole beginning, with a line for each thing that an observer or a key log would see.
fn run(suite: Suite, record: &mut String) {
    let mut note = |name: &str, bytes: &[u8]| {
        write!(record, "{suite:?} {name} ").expect("a string takes all");
        bytes.iter().for_each(|byte| write!(record, "{byte:02x}").expect("a string takes all"));
        record.push('\n');
    };
    let host = Host::new();
    let asking = Asking::new(suite, &host.key);
    note("host-secret", secret(1).as_bytes());
    note("host-public", &host.key.public().0);
    note("client-ephemeral", secret(2).as_bytes());
    note("host-ephemeral", secret(3).as_bytes());
    note("psk", secret(4).as_bytes());

    note("cookie-random", secret(5).as_bytes());
    note("client-address", &[&[0; 10][..], &[0xff; 2], &[192, 0, 2, 7], &[0x9c, 0x40]].concat());

    let first = asking.ask(None);
    note("client-hello", &first);
    let (retry, none) = host.answer(&first, None);
    assert!(none.is_none() && retry.len() == Retry::LEN);
    note("retry", &retry);
    let second = asking.ask(Some(&cookie_of(&retry)));
    note("client-hello-with-cookie", &second);
    let (answer, of_host) = host.answer(&second, None);
    assert!(answer.len() < CLIENT_HELLO_LEN_MIN);
    note("server-hello", &answer);

    let mut payload = Vec::new();
    let of_client = finish(&asking, &answer, &mut payload).expect("the host's answer");
    let of_host = of_host.expect("a yes");
    let Ok(Answer::Accepted(params)) = Answer::parse(&payload) else { panic!("a yes") };
    assert_eq!((params.connection, params.suite), (CONNECTION, suite));
    note("to-host", of_client.to_host.as_bytes());
    note("to-client", of_client.to_client.as_bytes());
    note("resume", of_client.resume.as_bytes());
    note("exporter", of_client.exporter.as_bytes());

    let mut client = PacketKeys::client(params.suite, &of_client);
    let mut served = PacketKeys::host(params.suite, &of_host);
    let hello = Frame::Message(message(b"hello"));
    let packet = seal(&mut client, Some(params.connection), &[Frame::AckNow, hello]);
    note("packet-to-host", &packet);
    open(&mut served, Direction::ToHost, &packet, |frames| {
        assert_eq!(frames, [Frame::AckNow, hello]);
    });
    let (largest, delay) = (Seq16(0), AckDelay(0));
    let ack = AckCompact { largest, delay, ecn: None, received: u32::MAX };
    let frames = [Frame::AckCompact(ack), Frame::Message(message(b"welcome"))];
    let packet = seal(&mut served, None, &frames);
    note("packet-to-client", &packet);
    open(&mut client, Direction::ToClient, &packet, |seen| assert_eq!(seen, frames));
    let notice = Notice { code: RefusalCode::Stopping, retry_after_millis: Some(500), text: "bye" };
    let close = Frame::Close(Some(notice));
    let packet = seal(&mut served, None, &[close]);
    note("close-to-client", &packet);
    open(&mut client, Direction::ToClient, &packet, |seen| assert_eq!(seen, [close]));

    let late = seal(&mut client, Some(params.connection), &[Frame::Ping { sent: 1 }]);
    let mut reset = Vec::new();
    assert!(host.resets.answer(params.connection, late.len(), &[9; 32], &mut reset));
    note("reset", &reset);
    assert!(reset.len() < late.len());
    assert_eq!(is_reset(&params.reset_token, &reset), Verdict::Valid);
}

#[test]
fn a_link_begins_byte_for_byte_as_recorded() {
    let mut record = String::new();
    Suite::ALL.into_iter().for_each(|suite| run(suite, &mut record));
    if std::env::var_os("MOORLINE_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/link.txt");
        std::fs::write(path, &record).expect("the vectors can be written");
    }
    let recorded = include_str!("vectors/link.txt");
    for (made, recorded) in record.lines().zip(recorded.lines()) {
        assert_eq!(made, recorded);
    }
    assert_eq!(record.len(), recorded.len());
}

#[test]
fn a_refusal_is_authentic_and_leaves_nothing() {
    let host = Host::new();
    let asking = Asking::new(Suite::Aes, &host.key);
    let (retry, _) = host.answer(&asking.ask(None), None);
    let hello = asking.ask(Some(&cookie_of(&retry)));
    let notice = Notice { code: RefusalCode::Full, retry_after_millis: Some(2_000), text: "full" };
    let (answer, secrets) = host.answer(&hello, Some(notice));
    assert!(secrets.is_none());
    let mut payload = Vec::new();
    for bit in 0..answer.len() * 8 {
        let mut wrong = answer.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(finish(&asking, &wrong, &mut payload).is_none(), "bit {bit}");
    }
    assert!(finish(&asking, &answer, &mut payload).is_some());
    assert_eq!(Answer::parse(&payload), Ok(Answer::Refused(notice)));
}

/// A recorded hello gets an answer, but not one that a thief can read: without the ephemeral key
/// there are no keys for packets.
#[test]
fn a6_a_replayed_hello_makes_no_link_and_a_cookie_from_elsewhere_gets_no_answer() {
    let host = Host::new();
    let asking = Asking::new(Suite::Aes, &host.key);
    let (retry, _) = host.answer(&asking.ask(None), None);
    let cookie = cookie_of(&retry);
    let (first, of_first) = host.answer(&asking.ask(Some(&cookie)), None);
    assert!(of_first.is_some());

    let thief = Asking::new(Suite::ChaCha, &host.key);
    assert!(finish(&thief, &first, &mut Vec::new()).is_none());

    let restarted = Host { cookies: CookieKeys::new(NOW, &secret(6)), ..Host::new() };
    let (answer, none) = restarted.answer(&asking.ask(Some(&cookie)), None);
    assert!(answer.is_empty() && none.is_none());
}

/// Two hosts that are wired to each other by a spoofed address fall silent: whatever one of them
/// says makes the other say nothing.
#[test]
fn a3_nothing_that_a_host_says_makes_a_host_speak() {
    let host = Host::new();
    let asking = Asking::new(Suite::Aes, &host.key);
    let (retry, _) = host.answer(&asking.ask(None), None);
    let (hello, _) = host.answer(&asking.ask(Some(&cookie_of(&retry))), None);
    for said in [retry, hello] {
        assert!(Datagram::parse(Direction::ToHost, &said).is_err());
    }
    // A reset looks like a packet, so it may be answered by one, which is shorter: at most
    // eighteen of them.
    let mut said = vec![0; 1_500];
    for round in 0.. {
        let mut answer = Vec::new();
        if !host.resets.answer(CONNECTION, said.len(), &[9; 32], &mut answer) {
            assert!(round <= 19, "{round}");
            break;
        }
        assert!(answer.len() < said.len());
        said = answer;
    }
}

/// Another version, suite or token kind in the open is found out by the transcript.
#[test]
fn a36_what_is_said_in_the_open_cannot_be_changed_on_the_way() {
    let host = Host::new();
    let asking = Asking::new(Suite::Aes, &host.key);
    let datagram = asking.ask(None);
    let Ok(Datagram::ClientHello(hello)) = Datagram::parse(Direction::ToHost, &datagram) else {
        panic!("a hello")
    };
    for at in 0..hello.prologue_len() {
        let mut prologue = datagram[..hello.prologue_len()].to_vec();
        prologue[at] ^= 1;
        let setting = Setting { suite: hello.suite, prologue: &prologue, psk: &secret(4) };
        let read = Responder::read(&setting, &host.key, hello.noise, &mut Vec::new());
        assert_eq!(read.err(), Some(HandshakeError::Forged), "byte {at}");
    }
}
