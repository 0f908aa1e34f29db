"""Hold the public keys of a party's OAuth client to what an assertion can be signed with, before they are recorded.

A key that can never sign is refused where it is given, with its place; otherwise the party would learn it at its next token.
Source: RFC 7517 and 7518 (JWK), RFC 8037 (Ed25519), RFC 7638 (thumbprints), RFC 8725 section 3.
"""

from __future__ import annotations

from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from annul.errors import BadInput

RSA_BITS_MIN: Final = 2048
"""Source: RFC 7518 section 3.3."""
KID_MAX: Final = 128
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
ALGORITHMS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("OKP", "Ed25519"): ("Ed25519", "EdDSA"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("RSA", ""): ("RS256", "PS256"),
}
"""What a key of each kind and curve signs with; `alg` of the key narrows it to one."""
_KINDS: Final[dict[str, Any]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "alg", "use", "kid")


def algorithms_of(jwk: dict[str, Any]) -> tuple[str, ...]:
    """Return the algorithms that a recorded key may sign assertions with."""
    fitting = ALGORITHMS.get((str(jwk.get("kty")), str(jwk.get("crv", ""))), ())
    alg = jwk.get("alg")
    if alg is None or alg in ("EdDSA", "Ed25519"):
        return fitting  # two names of one algorithm. Source: RFC 9864 section 2.2
    return tuple(each for each in fitting if each == alg)


def checked(jwk: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a public key as it is recorded: known members alone, with a name (`kid`).

    Args:
        where: JSON pointer of the key, for errors.

    Raises:
        BadInput: it has a private part, is of no kind that signs here, or is no key at all.
    """
    if PRIVATE & set(jwk):
        raise BadInput("This key has its private part.", where=where, mend="Send the public part alone, and make a new key.")
    kind, curve = str(jwk.get("kty")), str(jwk.get("crv", ""))
    if (kind, curve) not in ALGORITHMS:
        raise BadInput(
            "A key of this kind cannot sign an assertion.",
            where=where,
            mend="Use Ed25519, P-256, P-384, or RSA of 2,048 bits or more.",
        )
    if not algorithms_of(jwk):
        raise BadInput(
            "The key and its algorithm do not fit.", where=f"{where}/alg", mend="Leave alg out, or name one that fits."
        )
    if jwk.get("use", "sig") != "sig":
        raise BadInput(
            "This key is not for signatures.", where=f"{where}/use", mend="Use a key with the use sig, or leave it out."
        )
    kept: dict[str, Any] = {name: jwk[name] for name in _MEMBERS if name in jwk}
    try:
        key = _KINDS[kind].import_key(kept)
        bits = key.raw_value.key_size if kind == "RSA" else RSA_BITS_MIN
        name = kept.setdefault("kid", key.thumbprint())
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput("This is not a public key.", where=where, mend="Export it again as JWK (RFC 7517).") from error
    if bits < RSA_BITS_MIN:
        raise BadInput(f"The RSA key has {bits} bits.", where=where, mend=f"Use one of at least {RSA_BITS_MIN} bits.")
    if not isinstance(name, str) or not 1 <= len(name) <= KID_MAX or not name.isprintable() or "/" in name:
        raise BadInput(
            "The key's name cannot be used.",
            where=f"{where}/kid",
            mend=f"Give 1 to {KID_MAX} characters without a slash, or leave it out.",
        )
    return kept


def name_of(jwk: dict[str, Any]) -> str:
    """Return the name of a recorded key: its `kid`, or its thumbprint where it was recorded without."""
    return str(jwk.get("kid") or _KINDS[str(jwk["kty"])].import_key(jwk).thumbprint())
