"""X25519, AES-GCM and ChaCha20-Poly1305 with nothing but Python's own library.

For checking recorded bytes and for one slow, talkative client: nothing here runs in constant time,
so it is not for keys that matter.
"""

import hashlib
import hmac


class NotAuthentic(Exception):
    """A tag does not belong to its bytes."""


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


# X25519, RFC 7748.

PRIME = 2**255 - 19
BASE_POINT = (9).to_bytes(32, "little")


def x25519(scalar: bytes, point: bytes) -> bytes:
    k = int.from_bytes(scalar, "little")
    k = (k & ~7 & (2**255 - 1)) | 2**254
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for t in range(254, -1, -1):
        bit = (k >> t) & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (aa + 121665 * e) % PRIME
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def x25519_public(secret: bytes) -> bytes:
    return x25519(secret, BASE_POINT)


# AES, FIPS 197, only to encrypt, and GCM, NIST SP 800-38D.


def _times_x(byte: int) -> int:
    return ((byte << 1) ^ (0x11B if byte & 0x80 else 0)) & 0xFF


def _make_sbox() -> bytes:
    exp, log, value = [0] * 256, [0] * 256, 1
    for power in range(255):
        exp[power], log[value] = value, power
        value ^= _times_x(value)
    box = bytearray(256)
    for byte in range(256):
        inverse = exp[(255 - log[byte]) % 255] if byte else 0
        mixed = inverse
        for turn in range(1, 5):
            mixed ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        box[byte] = mixed ^ 0x63
    return bytes(box)


SBOX = _make_sbox()


class Aes:
    def __init__(self, key: bytes):
        words = [key[i : i + 4] for i in range(0, len(key), 4)]
        size, constant = len(words), 1
        self.rounds = size + 6
        for i in range(size, 4 * (self.rounds + 1)):
            word = words[-1]
            if i % size == 0:
                word = bytes(SBOX[b] for b in word[1:] + word[:1])
                word = bytes([word[0] ^ constant]) + word[1:]
                constant = _times_x(constant)
            elif size > 6 and i % size == 4:
                word = bytes(SBOX[b] for b in word)
            words.append(bytes(a ^ b for a, b in zip(words[i - size], word)))
        self.keys = [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]

    def encrypt(self, block: bytes) -> bytes:
        state = bytes(a ^ b for a, b in zip(block, self.keys[0]))
        for index in range(1, self.rounds + 1):
            state = bytes(SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
            if index < self.rounds:
                state = b"".join(_mix_column(state[i : i + 4]) for i in range(0, 16, 4))
            state = bytes(a ^ b for a, b in zip(state, self.keys[index]))
        return state


def _mix_column(column: bytes) -> bytes:
    every = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(column[i] ^ every ^ _times_x(column[i] ^ column[(i + 1) % 4]) for i in range(4))


def _ghash_times(x: int, y: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if (x >> bit) & 1:
            product ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return product


class AesGcm:
    def __init__(self, key: bytes):
        self.aes = Aes(key)
        self.h = int.from_bytes(self.aes.encrypt(bytes(16)), "big")

    def _tag(self, nonce: bytes, header: bytes, ciphertext: bytes) -> bytes:
        def padded(data: bytes) -> bytes:
            return data + bytes(-len(data) % 16)

        lengths = (8 * len(header)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
        hashed, covered = 0, padded(header) + padded(ciphertext) + lengths
        for i in range(0, len(covered), 16):
            block = int.from_bytes(covered[i : i + 16], "big")
            hashed = _ghash_times(hashed ^ block, self.h)
        mask = int.from_bytes(self.aes.encrypt(nonce + b"\0\0\0\1"), "big")
        return (hashed ^ mask).to_bytes(16, "big")

    def _stream(self, nonce: bytes, data: bytes) -> bytes:
        blocks = range((len(data) + 15) // 16)
        stream = b"".join(self.aes.encrypt(nonce + (i + 2).to_bytes(4, "big")) for i in blocks)
        return bytes(a ^ b for a, b in zip(data, stream))

    def seal(self, nonce: bytes, header: bytes, plaintext: bytes) -> bytes:
        ciphertext = self._stream(nonce, plaintext)
        return ciphertext + self._tag(nonce, header, ciphertext)

    def open(self, nonce: bytes, header: bytes, sealed: bytes) -> bytes:
        ciphertext, tag = sealed[:-16], sealed[-16:]
        if not hmac.compare_digest(tag, self._tag(nonce, header, ciphertext)):
            raise NotAuthentic()
        return self._stream(nonce, ciphertext)


# ChaCha20-Poly1305, RFC 8439.

QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


class ChaChaPoly:
    def __init__(self, key: bytes):
        self.key = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]

    def _block(self, counter: int, nonce: bytes) -> bytes:
        constants = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
        tail = [int.from_bytes(nonce[i : i + 4], "little") for i in range(0, 12, 4)]
        start = constants + self.key + [counter] + tail
        state = list(start)
        for _ in range(10):
            for a, b, c, d in QUARTERS:
                for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    state[first] = (state[first] + state[second]) & 0xFFFFFFFF
                    mixed = state[third] ^ state[first]
                    state[third] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF
        return b"".join(((a + b) & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(state, start))

    def _stream(self, nonce: bytes, data: bytes) -> bytes:
        blocks = range((len(data) + 63) // 64)
        stream = b"".join(self._block(i + 1, nonce) for i in blocks)
        return bytes(a ^ b for a, b in zip(data, stream))

    def _tag(self, nonce: bytes, header: bytes, ciphertext: bytes) -> bytes:
        once = self._block(0, nonce)
        r = int.from_bytes(once[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
        covered = header + bytes(-len(header) % 16) + ciphertext + bytes(-len(ciphertext) % 16)
        covered += len(header).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
        total = 0
        for i in range(0, len(covered), 16):
            total = (total + int.from_bytes(covered[i : i + 16] + b"\1", "little")) * r % (2**130 - 5)
        total += int.from_bytes(once[16:32], "little")
        return (total & (2**128 - 1)).to_bytes(16, "little")

    def seal(self, nonce: bytes, header: bytes, plaintext: bytes) -> bytes:
        ciphertext = self._stream(nonce, plaintext)
        return ciphertext + self._tag(nonce, header, ciphertext)

    def open(self, nonce: bytes, header: bytes, sealed: bytes) -> bytes:
        ciphertext, tag = sealed[:-16], sealed[-16:]
        if not hmac.compare_digest(tag, self._tag(nonce, header, ciphertext)):
            raise NotAuthentic()
        return self._stream(nonce, ciphertext)
