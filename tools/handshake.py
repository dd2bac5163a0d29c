"""Noise NKpsk0, the keys of a link, and its packets, from PROTOCOL.md."""

from dataclasses import dataclass

from primitives import AesGcm, ChaChaPoly, hmac_sha256, sha256, x25519, x25519_public

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
AES, CHACHA = 1, 2


def derive(key: bytes, purpose: str) -> bytes:
    return hmac_sha256(key, b"moorline 1 " + purpose.encode() + b"\1")


def precheck(host_public: bytes, covered: bytes) -> bytes:
    key = derive(hmac_sha256(host_public, b""), "precheck")
    return hmac_sha256(key, covered)[:16]


def cookie(random: bytes, millis: int, address: bytes, port: int, hello_id: bytes) -> bytes:
    t = millis.to_bytes(4, "big")
    proof = hmac_sha256(derive(random, "cookie"), t + address + port.to_bytes(2, "big") + hello_id)
    return t + proof[:16]


def reset_token(host_secret: bytes, node: int, connection: bytes) -> bytes:
    key = derive(hmac_sha256(host_secret, node.to_bytes(2, "big")), "reset")
    return hmac_sha256(key, connection)[:16]


def read_host_key(text: str) -> bytes:
    """The 32 bytes of a public key that is given as text."""
    if not text.startswith("mlk1") or len(text) != 62 or any(c not in ALPHABET for c in text[4:]):
        raise ValueError(f"{text!r} is no host key: it is mlk1 and 58 more characters")
    bits = "".join(f"{ALPHABET.index(character):05b}" for character in text[4:])
    data = int(bits[:288], 2).to_bytes(36, "big")
    if "1" in bits[288:] or data[32:] != sha256(b"mlk1" + data[:32])[:4]:
        raise ValueError(f"{text!r} is no host key: its check does not fit")
    return data[:32]


class Symmetric:
    """Noise's state, revision 34, sections 5.1 and 5.2."""

    def __init__(self, suite: int, prologue: bytes, host_public: bytes, psk: bytes):
        name = b"Noise_NKpsk0_25519_%s_SHA256" % (b"AESGCM" if suite == AES else b"ChaChaPoly")
        self.suite = suite
        self.h = name.ljust(32, b"\0") if len(name) <= 32 else sha256(name)
        self.ck, self.key, self.n = self.h, b"", 0
        self.mix_hash(prologue)
        self.mix_hash(host_public)
        self.ck, mixed, self.key = self._hkdf(psk, 3)
        self.mix_hash(mixed)

    def _hkdf(self, material: bytes, count: int) -> list[bytes]:
        once, out = hmac_sha256(self.ck, material), [b""]
        for index in range(1, count + 1):
            out.append(hmac_sha256(once, out[-1] + bytes([index])))
        return out[1:]

    def mix_hash(self, data: bytes) -> None:
        self.h = sha256(self.h + data)

    def mix_key(self, material: bytes) -> None:
        if material == bytes(32):
            raise ValueError("an agreement on zeros")
        self.ck, self.key = self._hkdf(material, 2)
        self.n = 0

    def mix_ephemeral(self, public: bytes) -> None:
        """With a psk, an ephemeral key goes into the keys too (section 9.2)."""
        self.mix_hash(public)
        self.ck, self.key = self._hkdf(public, 2)
        self.n = 0

    def _aead(self) -> tuple[AesGcm | ChaChaPoly, bytes]:
        self.n += 1
        if self.suite == AES:
            return AesGcm(self.key), bytes(4) + (self.n - 1).to_bytes(8, "big")
        return ChaChaPoly(self.key), bytes(4) + (self.n - 1).to_bytes(8, "little")

    def encrypt(self, plaintext: bytes) -> bytes:
        aead, nonce = self._aead()
        sealed = aead.seal(nonce, self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        aead, nonce = self._aead()
        plaintext = aead.open(nonce, self.h, sealed)
        self.mix_hash(sealed)
        return plaintext

    def secrets(self) -> "Secrets":
        k1, k2 = self._hkdf(b"", 2)
        root = hmac_sha256(self.h, k1 + k2)
        purposes = ("to host", "to client", "resume", "exporter")
        return Secrets(*(derive(root, purpose) for purpose in purposes))


@dataclass
class Secrets:
    to_host: bytes
    to_client: bytes
    resume: bytes
    exporter: bytes


class Ticket:
    """The right to go on with the lanes of a link, once."""

    def __init__(self, secrets: Secrets, epoch: int):
        self.name = derive(secrets.resume, "ticket name")[:16]
        self.key, self.epoch = derive(secrets.resume, "ticket key"), epoch

    def proof(self, hello_id: bytes, ephemeral: bytes) -> bytes:
        said = self.epoch.to_bytes(8, "big") + hello_id + x25519_public(ephemeral)
        return hmac_sha256(self.key, said)[:16]


class Initiator:
    """The client's side."""

    def __init__(self, suite: int, prologue: bytes, host_public: bytes, psk: bytes, ephemeral: bytes):
        self.symmetric = Symmetric(suite, prologue, host_public, psk)
        self.ephemeral, self.host_public = ephemeral, host_public

    def first(self, payload: bytes) -> bytes:
        public = x25519_public(self.ephemeral)
        self.symmetric.mix_ephemeral(public)
        self.symmetric.mix_key(x25519(self.ephemeral, self.host_public))
        return public + self.symmetric.encrypt(payload)

    def finish(self, message: bytes) -> bytes:
        """The payload of the host's answer."""
        self.symmetric.mix_ephemeral(message[:32])
        self.symmetric.mix_key(x25519(self.ephemeral, message[:32]))
        return self.symmetric.decrypt(message[32:])


class Responder:
    """The host's side."""

    def __init__(self, suite: int, prologue: bytes, host_secret: bytes, psk: bytes, ephemeral: bytes):
        self.symmetric = Symmetric(suite, prologue, x25519_public(host_secret), psk)
        self.host_secret, self.ephemeral = host_secret, ephemeral

    def read(self, message: bytes) -> bytes:
        """The payload of the client's message."""
        self.peer = message[:32]
        self.symmetric.mix_ephemeral(self.peer)
        self.symmetric.mix_key(x25519(self.host_secret, self.peer))
        return self.symmetric.decrypt(message[32:])

    def answer(self, payload: bytes) -> bytes:
        public = x25519_public(self.ephemeral)
        self.symmetric.mix_ephemeral(public)
        self.symmetric.mix_key(x25519(self.ephemeral, self.peer))
        return public + self.symmetric.encrypt(payload)


class Packets:
    """The packets of one direction in generation 0. To the host they carry a connection id."""

    def __init__(self, suite: int, secret: bytes, connection: bytes):
        key = derive(secret, "packet key")
        self.aead = AesGcm(key[:16]) if suite == AES else ChaChaPoly(key)
        self.iv, self.connection = derive(secret, "packet iv")[:12], connection
        self.sent, self.largest = 0, -1

    def _nonce(self, number: int) -> bytes:
        return (int.from_bytes(self.iv, "big") ^ number).to_bytes(12, "big")

    def seal(self, frames: bytes) -> bytes:
        """The next packet, with two bytes of its number: enough for thousands that are not acknowledged."""
        header = b"\x41" + self.connection + (self.sent % 2**16).to_bytes(2, "big")
        self.sent += 1
        return header + self.aead.seal(self._nonce(self.sent - 1), header, frames)

    def open(self, datagram: bytes) -> tuple[int, bytes]:
        """The number of a packet and its frames."""
        first = datagram[0]
        if first & 0xFC != 0x40:
            raise ValueError("no packet of generation 0")
        if datagram[1 : 1 + len(self.connection)] != self.connection:
            raise ValueError("another link's packet")
        start = 1 + len(self.connection)
        length = (first & 3) + 1
        header = datagram[: start + length]
        number = self._whole_number(int.from_bytes(header[start:], "big"), 8 * length)
        frames = self.aead.open(self._nonce(number), header, datagram[len(header) :])
        self.largest = max(self.largest, number)
        return number, frames

    def _whole_number(self, last: int, bits: int) -> int:
        """RFC 9000, A.3."""
        expected, window = self.largest + 1, 1 << bits
        candidate = (expected & ~(window - 1)) | last
        if candidate <= expected - window // 2:
            return candidate + window
        if candidate > expected + window // 2 and candidate >= window:
            return candidate - window
        return candidate
