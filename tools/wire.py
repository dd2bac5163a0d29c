"""Datagrams and frames, from PROTOCOL.md."""

from dataclasses import dataclass, field

VERSION = 0x4D4C0001
LANE_CONTROL, LANE_UNORDERED, LANE_LATEST, LANE_UNRELIABLE = 24, 25, 26, 27
CODES = (
    "", "full", "banned", "wrong version", "invalid login", "bad credentials", "duplicate", "too slow",
    "stopping", "evicted", "superseded", "violation", "moved",
)  # fmt: skip


class Malformed(Exception):
    """Bytes that the document does not allow."""


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def bytes(self, count: int) -> bytes:
        if count > self.left():
            raise Malformed("too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.bytes(self.left())

    def uint(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "big")

    def varint(self, below: int = 2**62) -> int:
        first = self.uint(1)
        size = 1 << (first >> 6)
        value = ((first & 0x3F) << (8 * (size - 1))) | self.uint(size - 1)
        if size > 1 and len(varint(value)) != size:
            raise Malformed("not the shortest number")
        if value >= below:
            raise Malformed("number too large")
        return value

    def wide(self) -> int:
        value = self.varint()
        if value < 2**62 - 1:
            return value
        value = self.uint(8)
        if value < 2**62 - 1:
            raise Malformed("not the shortest number")
        return value

    def zigzag(self) -> int:
        value = self.wide()
        return (value >> 1) ^ -(value & 1)

    def block(self) -> bytes:
        return self.bytes(self.varint())

    def notice(self) -> str:
        code, delay, text = self.varint(2**16), self.varint(2**32 + 1), self.block()
        if len(text) > 200:
            raise Malformed("text too long")
        name = CODES[code] if 0 < code < len(CODES) else str(code)
        try:
            words = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("not UTF-8") from error
        again = f" again={delay - 1}ms" if delay else ""
        return f"code={name}{again} text={words}"


def varint(value: int) -> bytes:
    for size, prefix in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * size - 2):
            return (value | prefix << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError("2^62 or more")


def block(data: bytes) -> bytes:
    return varint(len(data)) + data


# Packets of the handshake.


@dataclass
class ClientHello:
    hello_id: bytes
    suite: int
    token_kind: int
    token: bytes
    cookie: bytes
    noise: bytes
    precheck: bytes
    prologue: bytes = field(repr=False)
    covered: bytes = field(repr=False)


def client_hello_prologue(hello_id: bytes, suite: int, token_kind: int, token: bytes) -> bytes:
    head = b"\xc1" + VERSION.to_bytes(4, "big") + hello_id
    return head + bytes([suite, token_kind]) + len(token).to_bytes(2, "big") + token


def client_hello_covered(prologue: bytes, cookie: bytes, noise: bytes) -> bytes:
    return prologue + bytes([len(cookie)]) + cookie + len(noise).to_bytes(2, "big") + noise


def parse_client_hello(datagram: bytes) -> ClientHello:
    if len(datagram) < 1200:
        raise Malformed("a client hello has 1,200 bytes at least")
    reader = Reader(datagram)
    if reader.uint(1) != 0xC1 or reader.uint(4) != VERSION:
        raise Malformed("no client hello of this version")
    hello_id, suite, token_kind = reader.bytes(8), reader.uint(1), reader.uint(1)
    token = reader.bytes(reader.uint(2))
    if suite not in (1, 2) or token_kind > 1 or len(token) > 512 or (token_kind == 0) != (not token):
        raise Malformed("suite or token")
    prologue = datagram[: reader.at]
    cookie = reader.bytes(reader.uint(1))
    noise_len = reader.uint(2)
    if len(cookie) not in (0, 20) or not 48 <= noise_len <= 512:
        raise Malformed("cookie or handshake message")
    noise = reader.bytes(noise_len)
    covered = datagram[: reader.at]
    return ClientHello(hello_id, suite, token_kind, token, cookie, noise, reader.bytes(16), prologue, covered)


def parse_to_client(datagram: bytes) -> tuple[str, bytes, bytes]:
    """What it is, the hello id, and the rest, of a packet with a long header."""
    reader = Reader(datagram)
    first, version, hello_id = reader.uint(1), reader.uint(4), reader.bytes(8)
    rest = reader.rest()
    if first == 0xC2 and version == VERSION and len(rest) == 20:
        return "retry", hello_id, rest
    if first == 0xC3 and version == VERSION and 48 <= len(rest) <= 512:
        return "server hello", hello_id, rest
    if first == 0xC0 and version == 0 and rest and 1 <= rest[0] <= 16 and len(rest) == 1 + 4 * rest[0]:
        return "version list", hello_id, rest[1:]
    raise Malformed("no packet to a client")


# Parameters.


def client_params(application: int, resume: tuple = ()) -> bytes:
    """To go on with an earlier link's lanes, `resume` is what this side has of them, a claim, and
    the limit up to which it takes more."""
    values = {
        1: application.to_bytes(8, "big"),
        5: varint(1472),
        6: varint(25),
        7: varint(30_000),
        8: varint(1 << 20),
        9: VERSION.to_bytes(4, "big"),
    }
    if resume:
        positions, claim, limit = resume
        lanes = sorted(positions.items())
        values[11] = b"".join(bytes([lane]) + varint(missing) for lane, missing in lanes)
        values[12] = claim
        values[14] = varint(limit)
    return b"".join(varint(number) + block(value) for number, value in values.items())


def parse_positions(value: bytes) -> dict[int, int]:
    """For each lane on which something came, the least sequence number that is missing."""
    reader, positions, last = Reader(value), {}, -1
    while reader.left():
        lane = reader.uint(1)
        if not last < lane < 26:
            raise Malformed("lanes must rise, below 26")
        positions[lane], last = reader.varint(), lane
    return positions


def parse_params(data: bytes) -> dict[int, bytes]:
    reader, params, last = Reader(data), {}, -1
    while reader.left():
        number = reader.varint()
        if number <= last:
            raise Malformed("parameters must rise")
        params[number], last = reader.block(), number
    return params


def parse_answer(payload: bytes) -> tuple[dict[int, bytes] | None, str]:
    """The host's parameters, or None and why not."""
    reader = Reader(payload)
    if reader.uint(1) == 0:
        return parse_params(reader.rest()), ""
    return None, reader.notice()


# Frames.


@dataclass
class Message:
    lane: int
    seq: int | None
    key: int | None
    kind: int
    part: tuple[int, int] | None
    payload: bytes

    def __str__(self) -> str:
        words = [f"message lane={self.lane}"]
        words += [f"seq={self.seq}"] if self.seq is not None else []
        words += [f"key={self.key}"] if self.key is not None else []
        words += [f"kind={self.kind}"]
        words += [f"part={self.part[0]}/{self.part[1]}"] if self.part else []
        return " ".join(words + [f"payload={self.payload.hex()}"])


@dataclass
class Ack:
    """Received packet numbers; those of a compact one are counted from its largest."""

    largest: int
    delay_us: int
    marks: int | None
    received: list[tuple[int, int]]
    is_compact: bool

    def __str__(self) -> str:
        ranges = ",".join(f"{a}-{b}" for a, b in self.received)
        marks = f" marks={self.marks}" if self.marks is not None else ""
        form = "compact" if self.is_compact else "ranges"
        return f"ack {form} largest={self.largest} delay={self.delay_us}us{marks} received={ranges}"


def parse_frames(data: bytes) -> list:
    """Strings for all frames but messages and acknowledgements."""
    reader, frames = Reader(data), []
    while reader.left():
        first = reader.uint(1)
        if first == 0x00:
            start = reader.at - 1
            while reader.left() and reader.data[reader.at] == 0:
                reader.at += 1
            frames.append(f"padding len={reader.at - start}")
        elif first >= 0x80:
            frames.append(_message(reader, first))
        elif first in (0x10, 0x11):
            frames.append(_ack_ranges(reader, first))
        elif 0x40 <= first < 0x60:
            frames.append(_ack_compact(reader, first))
        else:
            frames.append(_other(reader, first))
    return frames


def _other(reader: Reader, first: int) -> str:
    if first == 0x01:
        return f"ping sent={reader.uint(4)}"
    if first == 0x02:
        return f"pong sent={reader.uint(4)} received={reader.uint(4)} answered={reader.uint(4)}"
    if first == 0x03:
        return "ack-now"
    if first == 0x04:
        return f"path-challenge {reader.bytes(8).hex()}"
    if first == 0x05:
        return f"path-response {reader.bytes(8).hex()}"
    if first == 0x06:
        return f"beat number={reader.varint(2**32)}"
    if first == 0x07:
        return f"beat-answer number={reader.varint(2**32)} tick={reader.zigzag()}"
    if first == 0x08:
        return f"data-limit sum={reader.varint()}"
    if first == 0x09:
        return "settled"
    if first == 0x0A:
        return "close"
    if first == 0x0B:
        return f"close {reader.notice()}"
    if 0x60 <= first < 0x80:
        return f"extension type={first} body={reader.block().hex()}"
    raise Malformed(f"unknown type {first:#x}")


def _delay_us(byte: int) -> int:
    steps = byte if byte < 128 else (16 + byte % 16) << (((byte >> 4) % 8) + 3)
    return steps * 250


def _ack_compact(reader: Reader, first: int) -> Ack:
    largest, delay = reader.uint(2), _delay_us(reader.uint(1))
    marks = reader.uint(3) if first & 0x10 else None
    history = 0
    for index in range(4):
        byte = 0xFF
        if first >> index & 1:
            byte = reader.uint(1)
            if byte == 0xFF:
                raise Malformed("a byte that need not be here")
        history |= byte << (8 * index)
    received, end = [], 0  # The largest itself was received.
    for back in range(1, 34):
        is_here = back <= 32 and history >> (back - 1) & 1
        if is_here and end is None:
            end = -back
        if not is_here and end is not None:
            received.append((-back + 1, end))
            end = None
    return Ack(largest, delay, marks, received, True)


def _ack_ranges(reader: Reader, first: int) -> Ack:
    largest, delay = reader.varint(), _delay_us(reader.uint(1))
    marks = reader.uint(3) if first == 0x11 else None
    start = largest - reader.varint()
    received = [(start, largest)]
    count = reader.uint(1)
    if count > 31:
        raise Malformed("too many ranges")
    for _ in range(count):
        end = start - 2 - reader.varint()
        start = end - reader.varint()
        received.append((start, end))
    if start < 0:
        raise Malformed("a range below 0")
    return Ack(largest, delay, marks, received, False)


def _message(reader: Reader, first: int) -> Message:
    lane, is_part, is_last = first & 0x1F, bool(first & 0x40), bool(first & 0x20)
    if lane > LANE_UNRELIABLE:
        raise Malformed("a reserved lane")
    seq = reader.uint(2) if lane <= LANE_LATEST or is_part else None
    key = reader.wide() if lane == LANE_LATEST else None
    kind = reader.varint(2**16)
    part = (reader.varint(), reader.varint()) if is_part else None
    if part and not (part[0] <= part[1] and 1 <= part[1] <= 1023):
        raise Malformed("a part that cannot be")
    payload = reader.rest() if is_last else reader.block()
    if part and (not payload or (part[0] < part[1] and len(payload) < 256)):
        raise Malformed("a part that is too short")
    return Message(lane, seq, key, kind, part, payload)


def message(lane: int, seq: int, kind: int, payload: bytes) -> bytes:
    """A message in one part, on a lane without keys."""
    head = bytes([0x80 | lane]) + (seq % 2**16).to_bytes(2, "big")
    return head + varint(kind) + block(payload)


def ack_ranges(received: set[int]) -> bytes:
    """An acknowledgement of these packets, 32 ranges at most."""
    ranges: list[list[int]] = []
    for number in sorted(received, reverse=True):
        if ranges and ranges[-1][0] == number + 1:
            ranges[-1][0] = number
        else:
            ranges.append([number, number])
    ranges = ranges[:32]
    (start, largest) = ranges[0]
    out = b"\x10" + varint(largest) + b"\0" + varint(largest - start) + bytes([len(ranges) - 1])
    for low, high in ranges[1:]:
        out += varint(start - high - 2) + varint(high - low)
        start = low
    return out
