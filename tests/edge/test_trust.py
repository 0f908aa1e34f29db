"""Rules an edge believes by: attacks on what is signed, and the ladder of ages."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from annul.edge.trust import (
    CLOCK_SLACK_US,
    EDITIONS_NAME,
    LADDERS,
    MANIFEST_BYTES_MAX,
    RELEASE_NAME,
    Freshness,
    Heartbeat,
    Ladder,
    Manifest,
    Role,
    Supplement,
    Trust,
    freshness,
    hold_digests,
    open_heartbeat,
    open_manifest,
    open_signed,
    open_supplement,
)
from annul.errors import BadInput, VerificationFailed
from annul.proof.checkpoint import Signer, sign_note
from annul.times import DAY_US, HOUR_US, MINUTE_US

NOW = 1_795_442_400_000_000
BUILDER, RELEASER, STRANGER = (
    Signer(name, bytes([number]) * 32) for number, name in enumerate((EDITIONS_NAME, RELEASE_NAME, "m"), 1)
)
TRUST = Trust.of_lines([BUILDER.vkey, RELEASER.vkey])


def manifest(**changes: Any) -> Manifest:
    """Return a manifest that holds, but for the changes."""
    fields = {
        "edition": "ab" * 16,
        "scheme": "cn-resident",
        "form": "exact",
        "serial": 7,
        "previous": "",
        "position": 100,
        "last_day": 20_000,
        "made_at_us": NOW - HOUR_US,
        "expires_at_us": NOW + DAY_US,
        "key_epoch": 1,
        "key_check": "",
        "issued": 10,
        "listed": 1,
        "bytes": 800,
        "entropy_bytes": 700,
        "asked_again": 10,
        "wrong": 0,
        "sha256": "",
        "digests_sha256": hashlib.sha256(bytes(32)).hexdigest(),
    }
    return Manifest(**fields | changes)


def note(made: Any, *signers: Signer) -> bytes:
    """Sign it, by both keys if nothing else is said."""
    return sign_note(msgspec.json.encode(made) + b"\n", *(signers or (BUILDER, RELEASER)))


def refused(step: int, raw: bytes, held: bytes | None = None, now_us: int = NOW) -> str:
    """Assert that a manifest is refused at this step; return the place named."""
    with pytest.raises(VerificationFailed) as caught:
        open_manifest(raw, TRUST, now_us, held)
    assert caught.value.step == step, caught.value
    return str(caught.value.where)


def test_both_keys_must_sign() -> None:
    """One of two, a stranger beside one, the same key twice: too few. A wrong signature refuses all."""
    assert open_manifest(note(manifest()), TRUST, NOW) == manifest()
    refused(2, note(manifest(), BUILDER))
    refused(2, note(manifest(), BUILDER, STRANGER))
    refused(2, note(manifest(), BUILDER, BUILDER))
    good = note(manifest())
    assert refused(2, good.replace(b'"serial":7', b'"serial":8')) == EDITIONS_NAME
    impostor = Signer(RELEASE_NAME, bytes([9]) * 32)
    refused(2, note(manifest(), BUILDER, impostor))


def test_a_bit_anywhere_in_a_manifest_refuses_it() -> None:
    """No flip leaves a manifest that is believed."""
    good = note(manifest())
    for place in range(len(good)):
        raw = bytearray(good)
        raw[place] ^= 1
        with pytest.raises(VerificationFailed):
            open_manifest(bytes(raw), TRUST, NOW)


def test_rollback_and_fork_are_told_apart() -> None:
    """An older serial, an older position under a newer serial; another edition of the same serial, a broken chain."""
    held = note(manifest())
    chained = hashlib.sha256(held).hexdigest()
    assert open_manifest(held, TRUST, NOW, held).serial == 7
    assert open_manifest(note(manifest(serial=8, previous=chained)), TRUST, NOW, held).serial == 8
    assert open_manifest(note(manifest(serial=12, position=500)), TRUST, NOW, held).serial == 12
    refused(6, note(manifest(serial=6)), held)
    refused(6, note(manifest(serial=9, position=99)), held)
    assert refused(5, note(manifest(edition="cd" * 16)), held) == "serial"
    refused(5, note(manifest(serial=8, previous="00" * 32)), held)
    refused(3, note(manifest(serial=8, scheme="icao-9303")), held)


def test_time_and_limits() -> None:
    """Expired, of the future, a clock a day off either way; sizes no file may have; not asked again."""
    assert refused(4, note(manifest(expires_at_us=NOW - 1))) == "expires_at_us"
    assert refused(4, note(manifest(made_at_us=NOW + HOUR_US))) == "made_at_us"
    assert refused(4, note(manifest()), now_us=NOW - DAY_US) == "made_at_us"
    assert refused(4, note(manifest()), now_us=NOW + 2 * DAY_US) == "expires_at_us"
    open_manifest(note(manifest(made_at_us=NOW + CLOCK_SLACK_US)), TRUST, NOW)
    for bytes_ in (0, -8, 801, 1 << 40):
        refused(7, note(manifest(bytes=bytes_)))
    refused(7, note(manifest(wrong=1)))
    refused(7, note(manifest(asked_again=9)))
    assert refused(1, b"x" * (MANIFEST_BYTES_MAX + 1)) == "size"
    refused(1, note(manifest())[:-5])
    refused(3, sign_note(b"{}\n", BUILDER, RELEASER))
    refused(3, note(manifest(kind="annul edition v2")))
    refused(3, note(Heartbeat(position=1, at_us=NOW, editions={})))


def test_digests_are_those_that_were_signed() -> None:
    """Another number or other bytes: step 8."""
    hold_digests(bytes(32), manifest())
    for digests in (b"", bytes(31), bytes(64), b"\1" * 32):
        with pytest.raises(VerificationFailed) as caught:
            hold_digests(digests, manifest())
        assert caught.value.step == 8


def test_heartbeats_are_not_replayed_and_supplements_stay_with_their_edition() -> None:
    """An older beat, an older position, one of the future; a supplement of another edition, or that leads nowhere."""
    beat = Heartbeat(position=5, at_us=NOW, editions={"cn-resident": 7})
    assert open_heartbeat(note(beat, BUILDER), TRUST, NOW) == beat
    for held in (Heartbeat(position=5, at_us=NOW + 1, editions={}), Heartbeat(position=6, at_us=NOW, editions={})):
        with pytest.raises(VerificationFailed, match="replay"):
            open_heartbeat(note(beat, BUILDER), TRUST, NOW, held)
    with pytest.raises(VerificationFailed, match="clock is behind"):
        open_heartbeat(note(beat, BUILDER), TRUST, NOW - DAY_US)
    with pytest.raises(VerificationFailed) as caught:
        open_heartbeat(note(beat, RELEASER), TRUST, NOW)
    assert caught.value.step == 2
    made = Supplement(
        edition="ab" * 16,
        since=5,
        position=9,
        changes=1,
        made_at_us=NOW,
        expires_at_us=NOW + 1,
        bytes=80,
        sha256="",
        digests_sha256="",
    )
    assert open_supplement(note(made, BUILDER), TRUST, NOW, "ab" * 16) == made
    for raw, edition in (
        (note(made, BUILDER), "cd" * 16),
        (note(msgspec.structs.replace(made, position=5), BUILDER), "ab" * 16),
        (note(made, STRANGER), "ab" * 16),
    ):
        with pytest.raises(VerificationFailed):
            open_supplement(raw, TRUST, NOW, edition)


def test_a_threshold_needs_as_many_different_keys() -> None:
    """The same key twice is one key; a missing one is named."""
    with pytest.raises(BadInput):
        Role((BUILDER.verifier, BUILDER.verifier), 2)
    with pytest.raises(BadInput):
        Role((BUILDER.verifier,), 0)
    with pytest.raises(BadInput, match="missing"):
        Trust.of_lines([BUILDER.vkey])
    with pytest.raises(VerificationFailed):
        open_signed(note(manifest(), STRANGER), TRUST.editions, Manifest)


@pytest.mark.parametrize(
    ("age_us", "tier", "rung"),
    [
        (0, "standard", "fresh"),
        (5 * MINUTE_US, "standard", "fresh"),
        (5 * MINUTE_US + 1, "standard", "stale"),
        (4 * HOUR_US, "standard", "stale"),
        (4 * HOUR_US + 1, "standard", "stopped"),
        (2 * MINUTE_US, "high", "stale"),
        (3 * HOUR_US, "low", "fresh"),
        (23 * HOUR_US, "low", "stale"),
        (-3 * MINUTE_US, "standard", "tampered"),
    ],
)
def test_rungs(age_us: int, tier: str, rung: str) -> None:
    """Five minutes and four hours by default; others by risk tier; a clock that went back is tampering."""
    assert freshness(NOW, 0, NOW + age_us, LADDERS[tier]) == rung


def test_what_the_device_saw_counts_too() -> None:
    """A clock put back to when the state was fresh is behind what it showed before; no heartbeat at all is stopped."""
    assert freshness(NOW, NOW + DAY_US, NOW + 1, LADDERS["standard"]) is Freshness.tampered
    assert freshness(0, 0, NOW, LADDERS["standard"]) is Freshness.stopped
    with pytest.raises(BadInput):
        Ladder(10, 5)
