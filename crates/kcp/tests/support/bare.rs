//! A peer that shares no code with the crate under test: the `kcp` crate as existing peers use it,
//! and protobuf bytes by hand.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kcp::Kcp;
use moorline_link::Time;

use super::{Flying, World};

#[derive(Clone, Debug, Default)]
struct Out(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub struct Bare {
    own: SocketAddr,
    host: SocketAddr,
    kcp: Kcp<Out>,
    out: Out,
    began: Time,
    /// Kind and payload of what arrived.
    pub got: Vec<(u64, Vec<u8>)>,
}

impl Bare {
    pub fn new(now: Time, conv: u32, own: SocketAddr, host: SocketAddr) -> Self {
        let out = Out::default();
        let mut kcp = Kcp::new(conv, out.clone());
        kcp.set_nodelay(true, 10, 2, true);
        kcp.set_wndsize(128, 128);
        kcp.set_mtu(1_200).expect("a valid MTU");
        Self { own, host, kcp, out, began: now, got: Vec::new() }
    }

    pub fn send(&mut self, message: &[u8]) {
        self.kcp.send(message).expect("not too long");
    }

    fn step(&mut self, now: Time) -> Vec<Flying> {
        let clock = u32::try_from(now.since(self.began).as_millis()).expect("short");
        self.kcp.update(clock).expect("it is driven in order");
        let mut buffer = vec![0; 200_000];
        while let Ok(len) = self.kcp.recv(&mut buffer) {
            self.got.push(open_envelope(&buffer[..len]));
        }
        let datagrams = std::mem::take(&mut *self.out.0.lock().expect("one thread"));
        let fly = |bytes| Flying { from: self.own, to: self.host, bytes };
        datagrams.into_iter().map(fly).collect()
    }

    pub fn of_kind(&self, kind: u64) -> Vec<Vec<u8>> {
        let of_kind = self.got.iter().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, payload)| payload.clone()).collect()
    }
}

/// Drives a world's host and bare peers for `time`, without delay or loss between them.
pub fn run(world: &mut World, peers: &mut [&mut Bare], time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.tap = Some(Vec::new());
        world.run(Duration::from_millis(5));
        let sent = world.tap.take().expect("it was put there");
        let by_address: HashMap<_, _> =
            peers.iter().enumerate().map(|(index, peer)| (peer.own, index)).collect();
        for flying in sent {
            if let Some(&index) = by_address.get(&flying.to) {
                assert_eq!(flying.from, peers[index].host, "answers come from the same port");
                peers[index].kcp.input(&flying.bytes).expect("a datagram of the conversation");
            }
        }
        for peer in peers.iter_mut() {
            for flying in peer.step(world.now) {
                world.deliver(&flying);
            }
        }
    }
}

/// Type and payload of an envelope of the shape that our side may send.
fn open_envelope(bytes: &[u8]) -> (u64, Vec<u8>) {
    let fields = fields(bytes);
    let kind = fields.iter().find(|(number, _)| *number == 1).map_or(0, |(_, value)| value.number);
    let payload = fields.into_iter().find(|(number, _)| *number == 2);
    (kind, payload.map_or_else(Vec::new, |(_, value)| value.bytes))
}

/// A field's value: a number, or bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    pub number: u64,
    pub bytes: Vec<u8>,
}

/// The fields of a message with varint, fixed 32-bit and length-delimited fields.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Value)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes);
        let mut value = Value::default();
        match key & 7 {
            0 => value.number = take_varint(&mut bytes),
            2 => {
                let len = usize::try_from(take_varint(&mut bytes)).expect("short");
                value.bytes = bytes[..len].to_vec();
                bytes = &bytes[len..];
            }
            5 => {
                value.bytes = bytes[..4].to_vec();
                bytes = &bytes[4..];
            }
            other => panic!("wire type {other}"),
        }
        fields.push((key >> 3, value));
    }
    fields
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// The number of field `number`, zero if it is not there.
pub fn number_of(payload: &[u8], number: u64) -> u64 {
    let found = fields(payload).into_iter().find(|(of, _)| *of == number);
    found.map_or(0, |(_, value)| value.number)
}

/// A message with a name as field 1 and a number as another field.
pub fn named(name: &str, number: u64, value: u64) -> Vec<u8> {
    let mut bytes = vec![0x0a, u8::try_from(name.len()).expect("short")];
    bytes.extend(name.as_bytes());
    super::varint(&mut bytes, number << 3);
    super::varint(&mut bytes, value);
    bytes
}
