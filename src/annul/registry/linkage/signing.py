"""Sign status lists: Token Status List as JWT and CWT, Bitstring Status List as a verifiable credential in a JWT.

All by ES256, which every wallet and verifier of this field can check; the key follows from the register's key, and its public
part is a JWK (`GET /v1/statuslists/keys`).

Source: draft-ietf-oauth-status-list (21), 5.1 (JWT), 5.2 (CWT: claims 2, 4, 6, 65533, 65534; header 16), 9.3 (aggregation);
RFC 9052, 4.4; W3C Bitstring Status List v1.0, 2.2; W3C Securing Verifiable Credentials using JOSE and COSE, 3.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import cbor2
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from annul.keys import Keys
from annul.records.carried import derive
from annul.registry.linkage.packing import encoded_list, packed, squeezed, text_of
from annul.times import rfc3339

TTL_S: Final = 300
"""Seconds a verifier may keep a list: as long as a copy of the register counts as fresh."""
EXPIRES_S: Final = 86_400
"""Seconds after which a list is none any more."""
JWT, CWT, VC = "application/statuslist+jwt", "application/statuslist+cwt", "application/vc+jwt"
_ORDER: Final = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
"""Order of P-256. Source: SP 800-186, 3.2.1.3."""
_ALG_ES256: Final = -7
_COSE_SIGN1: Final = 18


@dataclass(frozen=True, slots=True)
class About:
    """What a list says of itself: its address to the character, when it was made, and where all lists are."""

    uri: str
    at_us: int
    aggregation: str
    issuer: str


class ListSigner:
    """Sign lists with the register's key for them.

    Args:
        keys: the key file.
    """

    def __init__(self, keys: Keys) -> None:
        scalar = int.from_bytes(derive(keys.register, "status lists") + bytes(8), "big") % (_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        x, y = (text_of(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        thumb = msgspec.json.encode({"crv": "P-256", "kty": "EC", "x": x, "y": y})  # RFC 7638: members in order
        self.key_id = text_of(hashlib.sha256(thumb).digest())
        self.jwk: dict[str, str] = {
            "kty": "EC",
            "crv": "P-256",
            "x": x,
            "y": y,
            "alg": "ES256",
            "use": "sig",
            "kid": self.key_id,
        }

    def _sign(self, signed: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _jwt(self, kind: str, claims: dict[str, Any]) -> bytes:
        header = {"alg": "ES256", "kid": self.key_id, "typ": kind}
        signed = ".".join(text_of(msgspec.json.encode(part)) for part in (header, claims)).encode()
        return signed + b"." + text_of(self._sign(signed)).encode()

    def token_jwt(self, states: Any, bits: int, about: About) -> bytes:
        """Return a Token Status List as JWT."""
        now_s = about.at_us // 1_000_000
        lst = text_of(squeezed(packed(states, bits)))
        return self._jwt(
            "statuslist+jwt",
            {
                "sub": about.uri,
                "iat": now_s,
                "exp": now_s + EXPIRES_S,
                "ttl": TTL_S,
                "status_list": {"bits": bits, "lst": lst, "aggregation_uri": about.aggregation},
            },
        )

    def token_cwt(self, states: Any, bits: int, about: About) -> bytes:
        """Return a Token Status List as CWT: COSE_Sign1, tagged."""
        now_s = about.at_us // 1_000_000
        protected = cbor2.dumps({1: _ALG_ES256, 4: self.key_id.encode(), 16: "application/statuslist+cwt"}, canonical=True)
        lst = squeezed(packed(states, bits))
        claims = {
            2: about.uri,
            4: now_s + EXPIRES_S,
            6: now_s,
            65533: {"bits": bits, "lst": lst, "aggregation_uri": about.aggregation},
            65534: TTL_S,
        }
        payload = cbor2.dumps(claims, canonical=True)
        signature = self._sign(cbor2.dumps(["Signature1", protected, b"", payload], canonical=True))
        return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1, [protected, {}, payload, signature]), canonical=True)

    def bitstring(self, flags: Any, purpose: str, about: About) -> bytes:
        """Return a Bitstring Status List credential as JWT.

        Args:
            flags: an entry each, 0 or 1.
            purpose: `revocation` or `suspension`.
        """
        credential = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "id": about.uri,
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": about.issuer,
            "validFrom": rfc3339(about.at_us),
            "validUntil": rfc3339(about.at_us + EXPIRES_S * 1_000_000),
            "credentialSubject": {
                "id": about.uri + "#list",
                "type": "BitstringStatusList",
                "statusPurpose": purpose,
                "statusSize": 1,
                "ttl": TTL_S * 1000,
                "encodedList": encoded_list(flags),
            },
        }
        return self._jwt("vc+jwt", credential)
