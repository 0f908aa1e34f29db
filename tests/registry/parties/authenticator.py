"""A software authenticator for tests: makes and uses passkeys as a browser would hand them on (W3C Web Authentication)."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData


class Authenticator:
    """One passkey. `counter` goes up with every use, unless a test sets it back."""

    def __init__(self, origin: str = "http://localhost:8480") -> None:
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.handle = b""
        self.counter = 0
        self.verified = True

    def make(self, options: dict[str, Any]) -> bytes:
        """Answer `navigator.credentials.create`."""
        self.handle = websafe_decode(options["user"]["id"])
        credential = AttestedCredentialData.create(
            Aaguid.NONE, self.credential_id, ES256.from_cryptography_key(self.key.public_key())
        )
        data = self._data(options["rp"]["id"], AuthenticatorData.FLAG.AT, credential)
        response = {
            "clientDataJSON": websafe_encode(self._client("webauthn.create", options["challenge"])),
            "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
        }
        return self._credential(response)

    def use(self, options: dict[str, Any]) -> bytes:
        """Answer `navigator.credentials.get`."""
        self.counter += 1
        data = self._data(options["rpId"], AuthenticatorData.FLAG(0))
        client = self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(bytes(data) + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": websafe_encode(client),
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(signature),
            "userHandle": websafe_encode(self.handle),
        }
        return self._credential(response)

    def _data(
        self, host: str, flags: AuthenticatorData.FLAG, credential: AttestedCredentialData | None = None
    ) -> AuthenticatorData:
        flags |= AuthenticatorData.FLAG.UP
        if self.verified:
            flags |= AuthenticatorData.FLAG.UV
        return AuthenticatorData.create(hashlib.sha256(host.encode()).digest(), flags, self.counter, credential or b"")

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _credential(self, response: dict[str, str]) -> bytes:
        name = websafe_encode(self.credential_id)
        return json.dumps(
            {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
        ).encode()
