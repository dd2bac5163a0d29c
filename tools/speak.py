#!/usr/bin/env python3
"""Logs in at a host of `moorline serve`, sends a message, waits for its echo, goes on with the same
lanes on another link without a login, and closes.

    python3 tools/speak.py 127.0.0.1:9000 --host-key mlk1...

It speaks the native protocol as PROTOCOL.md has it: packets that are lost are sent again every
200 ms, there is one message at a time, and no congestion control. For a look, not for use.
"""

import argparse
import secrets
import socket
import sys
import time

import handshake
import wire
from primitives import NotAuthentic

KIND_LOGIN, KIND_ACCEPTED, KIND_REFUSED = 1, 2, 3
KIND_ECHO = 101
PAUSE_S, PATIENCE_S = 0.2, 10.0


class Failed(Exception):
    """The conversation did not go as it should."""


class Link:
    """A link from its first hello on; it may go on with the lanes of an earlier one."""

    def __init__(
        self,
        address: tuple[str, int],
        host_key: bytes,
        suite: int,
        earlier: tuple[handshake.Ticket, dict[int, int]] | None = None,
    ):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.socket.settimeout(PAUSE_S)
        self.deadline = time.monotonic() + PATIENCE_S
        self.received: set[int] = set()
        self._shake_hands(host_key, suite, earlier)

    def _exchange(self, datagram: bytes) -> bytes | None:
        """Sends a datagram, and gives what comes before it is time to send it again."""
        if time.monotonic() > self.deadline:
            raise Failed(f"no answer within {PATIENCE_S:.0f} s")
        try:
            self.socket.send(datagram)
            return self.socket.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(PAUSE_S / 10)
            return None

    def _shake_hands(self, host_key: bytes, suite: int, earlier: tuple | None) -> None:
        hello_id, cookie = secrets.token_bytes(8), b""
        prologue = wire.client_hello_prologue(hello_id, suite, 0, b"")
        ephemeral = secrets.token_bytes(32)
        initiator = handshake.Initiator(suite, prologue, host_key, bytes(32), ephemeral)
        params, epoch = wire.client_params(application=0), 0
        if earlier:
            ticket, positions = earlier
            proof = ticket.proof(hello_id, ephemeral)
            claim, epoch = ticket.name + proof + wire.varint(ticket.epoch), ticket.epoch + 1
            # The limit grows by what was delivered; a kilobyte is more than that was.
            params = wire.client_params(0, (positions, claim, (1 << 20) + 1024))
        noise = initiator.first(params)
        while True:
            covered = wire.client_hello_covered(prologue, cookie, noise)
            hello = covered + handshake.precheck(host_key, covered)
            answer = self._exchange(hello.ljust(1200, b"\0"))
            if answer is None:
                continue
            what, answered, rest = wire.parse_to_client(answer)
            if answered != hello_id:
                continue
            if what == "retry":
                cookie = rest
            elif what == "server hello":
                break
        params, why_not = wire.parse_answer(initiator.finish(rest))
        if params is None:
            raise Failed(f"the host said no: {why_not}")
        keys = initiator.symmetric.secrets()
        suite = params[2][0]
        self.to_host = handshake.Packets(suite, keys.to_host, params[3])
        self.to_client = handshake.Packets(suite, keys.to_client, b"")
        self.reset_token = params[4]
        self.ticket = handshake.Ticket(keys, epoch)
        self.host_has = wire.parse_positions(params.get(11, b""))
        if earlier and (params.get(10) != wire.varint(epoch) or 14 not in params):
            raise Failed("the host does not go on with the earlier link's lanes")

    def send(self, frames: bytes) -> list:
        """Sends frames, and gives those that came before it is time to send them again."""
        acks = wire.ack_ranges(self.received) if self.received else b""
        datagram = self._exchange(self.to_host.seal(acks + frames))
        if datagram is None:
            return []
        if datagram[-16:] == self.reset_token:
            raise Failed("the host does not know the link")
        try:
            number, plaintext = self.to_client.open(datagram)
        except (NotAuthentic, ValueError):
            return []
        if number in self.received:
            return []
        self.received.add(number)
        return wire.parse_frames(plaintext)

    def ask(self, lane: int, seq: int, kind: int, payload: bytes, wanted: tuple) -> wire.Message:
        """Sends a message until one of these kinds came on its lane."""
        request = wire.message(lane, seq, kind, payload)
        while True:
            for frame in self.send(request):
                if isinstance(frame, str) and frame.startswith("close"):
                    raise Failed(f"the host closed: {frame}")
                if isinstance(frame, wire.Message) and (frame.lane, frame.seq) == (lane, seq):
                    if frame.kind in wanted:
                        return frame

    def close(self) -> None:
        for _ in range(3):
            self.socket.send(self.to_host.seal(b"\x0a"))


def converse(args: argparse.Namespace) -> None:
    host, _, port = args.address.rpartition(":")
    address, host_key = (host.strip("[]"), int(port)), handshake.read_host_key(args.host_key)
    suite = {"aes": handshake.AES, "chacha": handshake.CHACHA}[args.suite]
    link = Link(address, host_key, suite)
    print("the link is up")
    login = wire.block(args.name.encode())
    answer = link.ask(wire.LANE_CONTROL, 0, KIND_LOGIN, login, (KIND_ACCEPTED, KIND_REFUSED))
    reader = wire.Reader(answer.payload)
    if answer.kind == KIND_REFUSED:
        raise Failed(f"the login was refused: {reader.notice()}")
    print(f"logged in as {args.name} at tick {reader.zigzag()}")
    text = args.message.encode()
    echo = link.ask(0, 0, KIND_ECHO, text, (KIND_ECHO,))
    if echo.payload != text:
        raise Failed(f"{text!r} came back as {echo.payload!r}")
    print(f"{args.message!r} came back")
    # Of lane 24 the answer to the login came, of lane 0 the echo.
    link = Link(address, host_key, suite, (link.ticket, {0: 1, wire.LANE_CONTROL: 1}))
    if link.host_has != {0: 1, wire.LANE_CONTROL: 1}:
        raise Failed(f"the host has {link.host_has}")
    echo = link.ask(0, 1, KIND_ECHO, text, (KIND_ECHO,))
    print(f"another link went on without a login: {echo.payload.decode()!r} came back")
    link.close()
    print("closed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("address", help="ADDRESS:PORT of a host")
    parser.add_argument("--host-key", required=True, help="what `moorline serve` prints")
    parser.add_argument("--name", default="python")
    parser.add_argument("--message", default="ahoy")
    parser.add_argument("--suite", choices=("aes", "chacha"), default="aes")
    try:
        converse(parser.parse_args())
    except (Failed, NotAuthentic, OSError, ValueError, wire.Malformed) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
