use std::collections::BTreeSet;

use super::*;
use crate::notes::{Paper, Reader, Writer};
use crate::wire::Direction;

const ID: ConnectionId = ConnectionId([1; 8]);

fn secrets() -> LinkSecrets {
    let secret = |byte| Secret::new([byte; 32]);
    LinkSecrets { to_host: secret(1), to_client: secret(2), resume: secret(3), exporter: secret(4) }
}

fn pair(suite: Suite) -> (PacketKeys, PacketKeys) {
    (PacketKeys::client(suite, &secrets()), PacketKeys::host(suite, &secrets()))
}

fn seal(
    keys: &mut PacketKeys,
    connection: Option<ConnectionId>,
    frames: &[u8],
) -> (PacketNumber, Vec<u8>) {
    let mut packet = Vec::new();
    // As if everything was acknowledged up to here.
    let acked = keys.sealer.next_number().expect("not exhausted");
    let acked = acked.value().checked_sub(1).and_then(PacketNumber::new);
    let header = keys.sealer.begin(connection, acked, &mut packet).expect("not exhausted");
    packet.extend_from_slice(frames);
    let number = keys.sealer.seal(&header, &mut packet).expect("not exhausted");
    (number, packet)
}

fn to_host(keys: &mut PacketKeys, frames: &[u8]) -> (PacketNumber, Vec<u8>) {
    seal(keys, Some(ID), frames)
}

/// Opens a packet and commits it.
fn receive(
    keys: &mut PacketKeys,
    direction: Direction,
    packet: &[u8],
) -> Result<(Committed, Vec<u8>), OpenError> {
    let mut packet = packet.to_vec();
    let header = ShortHeader::parse(direction, &packet).map_err(|_| OpenError::Truncated)?;
    let (opened, frames) = keys.opener.open(&header, &mut packet)?;
    let frames = frames.to_vec();
    Ok((keys.commit(opened), frames))
}

/// Everything that an end remembers.
fn state(keys: &PacketKeys) -> impl PartialEq + std::fmt::Debug + use<> {
    let of =
        |keys: &Keys| (*keys.material.secret.as_bytes(), keys.material.iv, keys.cipher.is_some());
    let PacketKeys { sealer, opener } = keys;
    (
        (of(&sealer.keys), sealer.counter.peek(), sealer.generation, sealer.generation_first),
        (of(&opener.current), opener.previous.as_deref().map(of), opener.window.clone()),
        (opener.generation, opener.generation_first, opener.forged),
    )
}

#[test]
fn packets_come_through_both_ways_with_consecutive_numbers() {
    for suite in Suite::ALL {
        let (mut client, mut host) = pair(suite);
        for round in 0..300 {
            let (number, packet) = to_host(&mut client, b"to the host");
            assert_eq!(packet.len(), 1 + 8 + 1 + 11 + TAG_LEN);
            assert_eq!(number.value(), round);
            let (committed, frames) =
                receive(&mut host, Direction::ToHost, &packet).expect("authentic");
            assert_eq!(committed, Committed { number, is_newest: true, is_update: false });
            assert_eq!(frames, b"to the host");

            let (_, packet) = seal(&mut host, None, b"back");
            assert_eq!(packet.len(), 1 + 1 + 4 + TAG_LEN);
            let (_, frames) =
                receive(&mut client, Direction::ToClient, &packet).expect("authentic");
            assert_eq!(frames, b"back");
        }
    }
}

#[test]
fn a5_no_part_and_no_corruption_of_a_packet_changes_anything() {
    for suite in Suite::ALL {
        let (mut client, mut host) = pair(suite);
        // In the first generation, and in the second while the first is still remembered.
        for _ in 0..2 {
            let (_, packet) = to_host(&mut client, b"once");
            let before = state(&host);
            for bit in 0..packet.len() * 8 {
                let mut wrong = packet.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                // The connection id leads to the link; a wrong one leads elsewhere, and is
                // authenticated all the same.
                assert!(receive(&mut host, Direction::ToHost, &wrong).is_err(), "bit {bit}");
                assert!(state(&host) == before, "bit {bit} changed something");
            }
            for len in 0..packet.len() {
                assert!(receive(&mut host, Direction::ToHost, &packet[..len]).is_err());
            }
            assert!(state(&host) == before);
            receive(&mut host, Direction::ToHost, &packet).expect("authentic");
            let before = state(&host);
            assert_eq!(
                receive(&mut host, Direction::ToHost, &packet).err(),
                Some(OpenError::Seen),
                "a replay"
            );
            assert!(state(&host) == before);
            let acked = client.sealer.counter.peek();
            let _ = client.update(acked);
            let (_, packet) = to_host(&mut client, b"next keys");
            receive(&mut host, Direction::ToHost, &packet).expect("authentic");
        }
    }
}

#[test]
fn a13_a_packet_of_the_other_direction_or_link_does_not_open() {
    let (mut client, mut host) = pair(Suite::Aes);
    let (_, packet) = to_host(&mut client, b"mine");
    let forged = Some(OpenError::Forged);
    assert_eq!(receive(&mut client, Direction::ToHost, &packet).err(), forged);
    let other = LinkSecrets { to_host: Secret::new([9; 32]), ..secrets() };
    let mut other = PacketKeys::host(Suite::Aes, &other);
    assert_eq!(receive(&mut other, Direction::ToHost, &packet).err(), forged);
    let mut other = PacketKeys::host(Suite::ChaCha, &secrets());
    assert_eq!(receive(&mut other, Direction::ToHost, &packet).err(), forged);
    assert!(receive(&mut host, Direction::ToHost, &packet).is_ok());
}

#[test]
fn keys_are_updated_by_either_side_and_packets_of_the_ones_before_still_open() {
    for suite in Suite::ALL {
        let (mut client, mut host) = pair(suite);
        assert!(!client.update(None), "nothing was acknowledged");
        let (first, _) = to_host(&mut client, b"lost");
        for generation in 1..=6_u64 {
            let (_, late) = to_host(&mut client, b"late");
            let (number, packet) = to_host(&mut client, b"on time");
            receive(&mut host, Direction::ToHost, &packet).expect("authentic");
            let acked = Some(number);
            if generation % 2 == 0 {
                assert!(client.update(acked));
                assert!(!client.update(acked), "nothing of these keys was acknowledged");
                let (_, packet) = to_host(&mut client, b"new");
                let (committed, _) =
                    receive(&mut host, Direction::ToHost, &packet).expect("authentic");
                assert!(committed.is_update);
                let (_, answer) = seal(&mut host, None, b"new too");
                receive(&mut client, Direction::ToClient, &answer).expect("authentic");
            } else {
                let (number, packet) = seal(&mut host, None, b"old");
                receive(&mut client, Direction::ToClient, &packet).expect("authentic");
                assert!(host.update(Some(number)));
                let (_, packet) = seal(&mut host, None, b"new");
                receive(&mut client, Direction::ToClient, &packet).expect("authentic");
                let (_, packet) = to_host(&mut client, b"new too");
                receive(&mut host, Direction::ToHost, &packet).expect("authentic");
            }
            for keys in [&client, &host] {
                assert_eq!(keys.sealer.generation, generation);
                assert_eq!(keys.opener.generation, generation);
            }
            let (committed, frames) =
                receive(&mut host, Direction::ToHost, &late).expect("remembered");
            assert_eq!((committed.is_newest, frames.as_slice()), (false, b"late".as_slice()));
            let (_, late) = to_host(&mut client, b"not so late");
            receive(&mut host, Direction::ToHost, &late).expect("authentic");
        }
        assert!(first < client.sealer.next_number().expect("a number"));
    }
}

#[test]
fn a_packet_of_forgotten_keys_is_told_apart_from_a_forged_one() {
    let (mut client, mut host) = pair(Suite::Aes);
    let (_, late) = to_host(&mut client, b"late");
    let (number, packet) = to_host(&mut client, b"on time");
    receive(&mut host, Direction::ToHost, &packet).expect("authentic");
    assert!(client.update(Some(number)));
    let (_, packet) = to_host(&mut client, b"new");
    receive(&mut host, Direction::ToHost, &packet).expect("authentic");
    host.forget_previous();
    let received = receive(&mut host, Direction::ToHost, &late);
    assert_eq!(received.err(), Some(OpenError::Forgotten));
}

/// What is sealed under one key has a nonce of its own, across updates, rests and left out numbers;
/// the two directions and the generations have keys of their own.
#[test]
fn a12_no_nonce_is_used_twice_with_one_key() {
    for suite in Suite::ALL {
        let (mut client, mut host) = pair(suite);
        let mut used = BTreeSet::new();
        let mut note = |keys: &PacketKeys| {
            let sealer = &keys.sealer;
            let number = sealer.next_number().expect("not exhausted");
            let nonce = *sealer.keys.nonce(number).as_ref();
            let key = *derive(&sealer.keys.material.secret, Purpose::PacketKey).as_bytes();
            assert!(used.insert((key, nonce)), "{number:?} of {}", sealer.generation);
        };
        for round in 0..200 {
            note(&client);
            let (number, packet) = to_host(&mut client, b"there");
            receive(&mut host, Direction::ToHost, &packet).expect("authentic");
            note(&host);
            let (_, packet) = seal(&mut host, None, b"back");
            receive(&mut client, Direction::ToClient, &packet).expect("authentic");
            match round % 5 {
                0 => assert!(client.update(Some(number))),
                1 => client = rested(client),
                2 => host = rested(host),
                3 => client.sealer.skip(7),
                _ => {}
            }
        }
        assert_eq!(used.len(), 400);
        assert!(client.sealer.generation >= 40);
    }
}

/// Keys whose link rested and woke.
fn rested(mut keys: PacketKeys) -> PacketKeys {
    let mut paper = Paper::default();
    let mut notes = Writer::new(&mut paper);
    let resting = keys.rest(&mut notes);
    let packed = notes.packed().to_vec();
    resting.wake(&mut Reader::new(&packed, &mut paper))
}

#[test]
fn a_link_that_rests_goes_on_where_it_was() {
    let (mut client, mut host) = pair(Suite::ChaCha);
    for _ in 0..3 {
        (client, host) = (rested(client), rested(host));
        let (_, packet) = to_host(&mut client, b"there");
        receive(&mut host, Direction::ToHost, &packet).expect("authentic");
        let (_, packet) = seal(&mut host, None, b"back");
        receive(&mut client, Direction::ToClient, &packet).expect("authentic");
    }
}

#[test]
fn a12_keys_stop_hard_before_their_limit() {
    let (mut client, mut host) = pair(Suite::Aes);
    client.sealer.skip(SEALED_DUE - 1);
    assert!(!client.is_update_due(u32::MAX));
    client.sealer.skip(1);
    assert!(client.is_update_due(u32::MAX));
    client.sealer.skip(SEALED_MAX - SEALED_DUE - 1);
    let number = client.sealer.next_number().expect("the last one");
    let mut packet = Vec::new();
    let header = client.sealer.begin(Some(ID), None, &mut packet).expect("the last one");
    packet.push(1);
    assert_eq!(client.sealer.seal(&header, &mut packet), Ok(number));
    assert_eq!(client.sealer.begin(Some(ID), None, &mut packet).err(), Some(Exhausted));
    assert_eq!(client.sealer.seal(&header, &mut packet), Err(Exhausted));
    // New keys help; numbers that are spent do not come back.
    assert!(client.update(Some(number)));
    assert!(client.sealer.begin(Some(ID), Some(number), &mut packet).is_ok());
    client.sealer.skip(u64::MAX);
    assert_eq!(client.sealer.next_number(), Err(Exhausted));

    host.opener.forged = FORGED_MAX - 2;
    assert_eq!(host.opener.on_forged(), Ok(()));
    assert_eq!(host.opener.on_forged(), Err(Exhausted));
}

#[test]
#[should_panic(expected = "once")]
fn a_header_is_sealed_once() {
    let (mut client, _) = pair(Suite::Aes);
    let mut packet = Vec::new();
    let header = client.sealer.begin(Some(ID), None, &mut packet).expect("not exhausted");
    packet.push(1);
    let mut copy = packet.clone();
    let _ = client.sealer.seal(&header, &mut packet);
    let _ = client.sealer.seal(&header, &mut copy);
}
