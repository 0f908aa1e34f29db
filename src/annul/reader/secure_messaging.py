"""Secure messaging: encrypt and authenticate every command to the chip, check every answer.

Two suites of Doc 9303-11: 3DES with the retail MAC, AES with CMAC. Keys live in the session object only.

Source: ICAO Doc 9303-11 (8th edition) section 9.7 (key derivation) and 9.8 (secure messaging).
"""

from __future__ import annotations

import hashlib
import hmac
from enum import Enum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from annul.reader import tlv
from annul.reader.faults import CardMalformed
from annul.reader.transport import Command

MAC_BYTES = 8


class Suite(Enum):
    """Cipher and key length; the value is the last arc of the protocols' object identifiers."""

    TRIPLE_DES = 1
    AES_128 = 2
    AES_192 = 3
    AES_256 = 4

    @property
    def key_bytes(self) -> int:
        """Length of each of the two session keys."""
        return {1: 16, 2: 16, 3: 24, 4: 32}[self.value]

    @property
    def block_bytes(self) -> int:
        """Block length of the cipher."""
        return 8 if self is Suite.TRIPLE_DES else 16


def derive(secret: bytes, counter: int, suite: Suite) -> bytes:
    """Derive a key: counter 1 encryption, 2 authentication, 3 password.

    Source: Doc 9303-11 section 9.7.1. Parity bits of 3DES keys are set, as the worked examples print them.
    """
    function = hashlib.sha256 if suite in (Suite.AES_192, Suite.AES_256) else hashlib.sha1
    key = function(secret + counter.to_bytes(4, "big")).digest()[: suite.key_bytes]
    if suite is Suite.TRIPLE_DES:
        key = bytes(byte & 0xFE | 1 ^ (byte >> 1).bit_count() & 1 for byte in key)
    return key


def pad(data: bytes, block_bytes: int) -> bytes:
    """Append 80 and zeros up to the next block (ISO/IEC 9797-1 method 2)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block_bytes)


def unpad(data: bytes) -> bytes:
    """Remove the padding of `pad`.

    Raises:
        CardMalformed: no padding there.
    """
    bare = data.rstrip(b"\0")
    if not bare.endswith(b"\x80"):
        raise CardMalformed("decrypted data has no padding")
    return bare[:-1]


def encrypt(suite: Suite, key: bytes, data: bytes, iv: bytes | None = None) -> bytes:
    """Encrypt whole blocks in CBC mode; the initial vector is zero unless given."""
    return _cipher(suite, key, iv).encryptor().update(data)


def decrypt(suite: Suite, key: bytes, data: bytes, iv: bytes | None = None) -> bytes:
    """Decrypt whole blocks in CBC mode.

    Raises:
        CardMalformed: not a whole number of blocks.
    """
    if len(data) % suite.block_bytes:
        raise CardMalformed("encrypted data is not a whole number of blocks")
    return _cipher(suite, key, iv).decryptor().update(data)


def _cipher(suite: Suite, key: bytes, iv: bytes | None) -> Cipher[modes.CBC]:
    vector = iv if iv is not None else bytes(suite.block_bytes)
    if suite is Suite.TRIPLE_DES:
        return Cipher(TripleDES(key + key[:8]), modes.CBC(vector))
    return Cipher(algorithms.AES(key), modes.CBC(vector))


def mac(suite: Suite, key: bytes, data: bytes) -> bytes:
    """Return the 8-byte authentication code of `data`.

    3DES: ISO/IEC 9797-1 algorithm 3 over data that is padded already; AES: CMAC cut to 8 bytes.
    """
    if suite is not Suite.TRIPLE_DES:
        code = CMAC(algorithms.AES(key))
        code.update(data)
        return code.finalize()[:MAC_BYTES]
    if not data or len(data) % 8:
        raise ValueError("the retail MAC takes whole blocks")
    chain = bytes(8)
    if len(data) > 8:
        single = Cipher(TripleDES(key[:8] * 3), modes.CBC(bytes(8))).encryptor()
        chain = single.update(data[:-8])[-8:]
    last = bytes(a ^ b for a, b in zip(chain, data[-8:], strict=True))
    return Cipher(TripleDES(key + key[:8]), modes.CBC(bytes(8))).encryptor().update(last)


class Session:
    """Protect one channel with one pair of keys.

    Args:
        suite: cipher.
        secret: shared secret of BAC, PACE or chip authentication; both keys are derived from it.
        counter: first value of the send sequence counter (zero but for BAC).
    """

    def __init__(self, suite: Suite, secret: bytes, counter: int = 0) -> None:
        self.suite = suite
        self._encryption_key = derive(secret, 1, suite)
        self._mac_key = derive(secret, 2, suite)
        self._counter = counter

    def _step(self) -> bytes:
        size = self.suite.block_bytes
        self._counter = (self._counter + 1) % (1 << 8 * size)
        return self._counter.to_bytes(size, "big")

    def _vector(self, counter: bytes) -> bytes:
        if self.suite is Suite.TRIPLE_DES:
            return bytes(8)
        block = Cipher(algorithms.AES(self._encryption_key), modes.ECB()).encryptor()  # noqa: S305 - 9303-11 9.8.6.1
        return block.update(counter)

    def wrap(self, command: Command) -> bytes:
        """Return the protected form of a command."""
        size = self.suite.block_bytes
        counter = self._step()
        header = bytes([command.header[0] | 0x0C]) + command.header[1:]
        objects = b""
        if command.data:
            secret = encrypt(self.suite, self._encryption_key, pad(command.data, size), self._vector(counter))
            odd = command.header[1] & 1
            objects += tlv.write(0x85, secret) if odd else tlv.write(0x87, b"\x01" + secret)
        if command.expected is not None:
            extended = command.expected > 256
            objects += tlv.write(
                0x97, (command.expected & 0xFFFF).to_bytes(2, "big") if extended else bytes([command.expected & 0xFF])
            )
        proof = mac(self.suite, self._mac_key, pad(counter + pad(header, size) + objects, size))
        body = objects + tlv.write(0x8E, proof)
        if len(body) > 255 or (command.expected is not None and command.expected > 256):
            return header + b"\0" + len(body).to_bytes(2, "big") + body + b"\0\0"
        return header + bytes([len(body)]) + body + b"\0"

    def unwrap(self, response: bytes) -> tuple[bytes, int]:
        """Check and open a protected response.

        Returns:
            Data and the status word that stands under protection.
        Raises:
            CardMalformed: the authentication code does not hold, or the objects are not those of section 9.8.
        """
        counter = self._step()
        covered, proof, secret, status = b"", None, None, None
        body, offset = response[:-2], 0
        while offset < len(body):
            item = tlv.read(body, offset)
            if item.tag == 0x8E:
                proof = item.value
                if item.end != len(body):
                    raise CardMalformed("data behind the authentication code")
                break
            covered += body[offset : item.end]
            if item.tag == 0x87:
                if item.value[:1] != b"\x01":
                    raise CardMalformed("unknown padding of encrypted data")
                secret = item.value[1:]
            elif item.tag == 0x85:
                secret = item.value
            elif item.tag == 0x99:
                if len(item.value) != 2:
                    raise CardMalformed("a protected status word of wrong length")
                status = int.from_bytes(item.value, "big")
            offset = item.end
        size = self.suite.block_bytes
        if proof is None or status is None:
            raise CardMalformed("a protected answer without status or authentication code")
        if not hmac.compare_digest(mac(self.suite, self._mac_key, pad(counter + covered, size)), proof):
            raise CardMalformed("the authentication code of an answer does not hold")
        if secret is None:
            return b"", status
        if not secret:
            raise CardMalformed("empty encrypted data")
        return unpad(decrypt(self.suite, self._encryption_key, secret, self._vector(counter))), status

    def open_mapping_data(self, secret: bytes) -> bytes:
        """Decrypt what the chip sends at the end of PACE with chip authentication mapping: the vector is that of counter -1.

        Raises:
            CardMalformed: not whole blocks, or not padded.
        """
        return unpad(decrypt(self.suite, self._encryption_key, secret, self._vector(b"\xff" * self.suite.block_bytes)))

    def seal_mapping_data(self, data: bytes) -> bytes:
        """Encrypt the same, as the chip does (the specimen card uses it)."""
        vector = self._vector(b"\xff" * self.suite.block_bytes)
        return encrypt(self.suite, self._encryption_key, pad(data, self.suite.block_bytes), vector)

    def open_command(self, raw: bytes) -> Command:
        """Check and open a protected command, as the chip does (the specimen card uses it).

        Raises:
            CardMalformed: the proof does not hold.
        """
        size = self.suite.block_bytes
        counter = self._step()
        start = 7 if len(raw) > 7 and raw[4] == 0 else 5
        body = raw[start : start + int.from_bytes(raw[4:start], "big")] if len(raw) > 5 else b""
        covered, proof, secret, expected = b"", None, None, None
        offset = 0
        while offset < len(body):
            item = tlv.read(body, offset)
            if item.tag == 0x8E:
                proof = item.value
            else:
                covered += body[offset : item.end]
            if item.tag in (0x85, 0x87):
                secret = item.value[item.tag == 0x87 :]
            elif item.tag == 0x97:
                expected = int.from_bytes(item.value, "big") or 1 << 8 * len(item.value)
            offset = item.end
        good = mac(self.suite, self._mac_key, pad(counter + pad(raw[:4], size) + covered, size))
        if proof is None or not hmac.compare_digest(good, proof):
            raise CardMalformed("the authentication code of a command does not hold")
        data = b""
        if secret is not None:
            data = unpad(decrypt(self.suite, self._encryption_key, secret, self._vector(counter)))
        return Command(bytes([raw[0] & 0xF3]) + raw[1:4], data, expected)

    def seal_response(self, data: bytes, status: int, *, odd: bool = False) -> bytes:
        """Protect an answer, as the chip does (the specimen card uses it)."""
        size = self.suite.block_bytes
        counter = self._step()
        objects = b""
        if data:
            secret = encrypt(self.suite, self._encryption_key, pad(data, size), self._vector(counter))
            objects = tlv.write(0x85, secret) if odd else tlv.write(0x87, b"\x01" + secret)
        word = status.to_bytes(2, "big")
        objects += tlv.write(0x99, word)
        proof = mac(self.suite, self._mac_key, pad(counter + objects, size))
        return objects + tlv.write(0x8E, proof) + word
