#!/usr/bin/env python3
"""Checks the recorded bytes of the native protocol against PROTOCOL.md.

    python3 tools/check_vectors.py

Every line of crates/proto/tests/vectors is made again or taken apart; one that is not explained
is a failure too.
"""

import sys
from pathlib import Path

import handshake
import wire
from primitives import x25519_public

VECTORS = Path(__file__).resolve().parent.parent / "crates/proto/tests/vectors"
FIRST_PACKETS = {
    "packet-to-host": ["ack-now", "message lane=0 seq=0 kind=7 payload=68656c6c6f"],
    "packet-to-client": [
        "ack compact largest=0 delay=0us received=-32-0",
        "message lane=0 seq=0 kind=7 payload=77656c636f6d65",
    ],
    "close-to-client": ["close code=stopping again=500ms text=bye"],
}


class Wrong(Exception):
    """A recorded line says something else than the document."""


def expect(name: str, found: object, recorded: object) -> None:
    if found != recorded:
        raise Wrong(f"{name}: the document gives {found!r}, recorded is {recorded!r}")


class Recording:
    """The lines of one suite; each must be taken."""

    def __init__(self, lines: dict[str, bytes]):
        self.lines, self.unseen = lines, set(lines)

    def __getitem__(self, name: str) -> bytes:
        self.unseen.discard(name)
        return self.lines[name]


def check_link(suite: int, recorded: Recording) -> None:
    secret, public, psk = recorded["host-secret"], recorded["host-public"], recorded["psk"]
    expect("host-public", x25519_public(secret), public)
    first = wire.parse_client_hello(recorded["client-hello"])
    second = wire.parse_client_hello(recorded["client-hello-with-cookie"])
    initiator = handshake.Initiator(suite, first.prologue, public, psk, recorded["client-ephemeral"])
    responder = handshake.Responder(suite, second.prologue, secret, psk, recorded["host-ephemeral"])
    request = responder.read(second.noise)
    params = wire.parse_params(request)
    expect("parameters of the client", sorted(params), [1, 5, 6, 7, 8, 9])
    noise = initiator.first(request)
    check_hellos(suite, recorded, (first, second), noise)
    connection = check_answer(suite, recorded, initiator, responder)
    secrets = initiator.symmetric.secrets()
    expect("secrets of both sides", responder.symmetric.secrets(), secrets)
    for name in ("to-host", "to-client", "resume", "exporter"):
        expect(name, getattr(secrets, name.replace("-", "_")), recorded[name])
    check_packets(suite, recorded, secrets, connection)


def check_hellos(suite: int, recorded: Recording, hellos: tuple, noise: bytes) -> None:
    public = recorded["host-public"]
    what, hello_id, cookie = wire.parse_to_client(recorded["retry"])
    expect("retry", (what, hello_id), ("retry", hellos[0].hello_id))
    address = recorded["client-address"]
    millis, port = int.from_bytes(cookie[:4], "big"), int.from_bytes(address[16:], "big")
    made = handshake.cookie(recorded["cookie-random"], millis, address[:16], port, hello_id)
    expect("cookie", made, cookie)
    for name, hello, sent in zip(("client-hello", "client-hello-with-cookie"), hellos, (b"", cookie)):
        prologue = wire.client_hello_prologue(hello_id, suite, hello.token_kind, hello.token)
        covered = wire.client_hello_covered(prologue, sent, noise)
        datagram = covered + handshake.precheck(public, covered)
        expect(name, datagram.ljust(1200, b"\0"), recorded[name])


def check_answer(
    suite: int,
    recorded: Recording,
    initiator: handshake.Initiator,
    responder: handshake.Responder,
) -> bytes:
    what, _, message = wire.parse_to_client(recorded["server-hello"])
    expect("server-hello", what, "server hello")
    payload = initiator.finish(message)
    expect("server-hello", responder.answer(payload), message)
    params, _ = wire.parse_answer(payload)
    if params is None:
        raise Wrong("server-hello: a no")
    expect("suite of the packets", params[2], bytes([suite]))
    token = handshake.reset_token(recorded["host-secret"], 0, params[3])
    expect("reset token", token, params[4])
    reset = recorded["reset"]
    expect("reset", (reset[0] & 0xDC, reset[-16:]), (0x40, token))
    return params[3]


def check_packets(
    suite: int, recorded: Recording, secrets: handshake.Secrets, connection: bytes
) -> None:
    to_host = handshake.Packets(suite, secrets.to_host, connection)
    to_client = handshake.Packets(suite, secrets.to_client, b"")
    for name, frames in FIRST_PACKETS.items():
        _, plaintext = (to_host if name == "packet-to-host" else to_client).open(recorded[name])
        expect(name, [str(frame) for frame in wire.parse_frames(plaintext)], frames)


def links() -> dict[str, Recording]:
    suites: dict[str, dict[str, bytes]] = {}
    for line in (VECTORS / "link.txt").read_text().splitlines():
        suite, name, data = line.split(" ")
        suites.setdefault(suite, {})[name] = bytes.fromhex(data)
    return {suite: Recording(lines) for suite, lines in suites.items()}


def check_frames() -> int:
    lines = (VECTORS / "frames.txt").read_text().splitlines()
    for line in lines:
        data, said = line.split(" ", 1)
        try:
            found = "; ".join(str(frame) for frame in wire.parse_frames(bytes.fromhex(data)))
        except wire.Malformed:
            found = "malformed"
        expect(data, found, said)
    return len(lines)


def main() -> int:
    try:
        suites = links()
        for name, recorded in suites.items():
            check_link({"Aes": handshake.AES, "ChaCha": handshake.CHACHA}[name], recorded)
            if recorded.unseen:
                raise Wrong(f"{name}: nothing explains {', '.join(sorted(recorded.unseen))}")
        frames = check_frames()
        if len(suites) != 2 or not frames:
            raise Wrong("vectors are missing")
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    count = sum(len(recorded.lines) for recorded in suites.values())
    print(f"{count} lines of 2 links and {frames} of frames are what PROTOCOL.md says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
