"""The rules of a witness: it cosigns only what continues all it cosigned before, whoever asks and whatever fails."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul import durable
from annul.errors import BadInput, Conflict, Corrupt, NotFound, StorageFailed
from annul.proof.checkpoint import Signer, open_checkpoint, sign_checkpoint, split_note
from annul.proof.cosignature import Cosigner, cosignatures
from annul.proof.merkle import consistency_proof, leaf_hash, root
from annul.witness.witness import Witness, load_or_create, watch, watched

LOG = Signer("annul-0123456789ab/register", bytes(range(32)))
COSIGNER = Cosigner("witness.example.org/w1", bytes(range(1, 33)), bytes(range(2, 34)))
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(60)]
FORKED = [*LEAVES[:5], *(leaf_hash(b"other %d" % number) for number in range(55))]
NOW_S = 1_795_442_400


def make(folder: Path) -> Witness:
    """Return a witness that watches the log."""
    watch(folder, LOG.verifier)
    return Witness(folder, COSIGNER, lambda: NOW_S)


def request(old: int, size: int, leaves: list[bytes] = LEAVES, signer: Signer = LOG, proof: list[bytes] | None = None) -> bytes:
    """Return a request about the first leaves."""
    if proof is None:
        proof = consistency_proof(leaves[:size], old) if 0 < old < size else []
    lines = "".join(base64.b64encode(each).decode() + "\n" for each in proof)
    return f"old {old}\n{lines}\n".encode() + sign_checkpoint(LOG.name, size, root(leaves[:size]), signer)


def note_of(body: bytes) -> bytes:
    """Return the checkpoint of a request."""
    return body.partition(b"\n\n")[2]


def test_a_log_that_grows_is_cosigned(tmp_path: Path) -> None:
    """Step by step, also without growth; both signatures verify on the checkpoint, and the state is told."""
    witness = make(tmp_path)
    for old, size in ((0, 3), (3, 3), (3, 8), (8, 33)):
        body = request(old, size)
        answer = witness.add_checkpoint(body)
        assert (answer.status, answer.media) == (200, "text/plain; charset=utf-8")
        found = cosignatures(note_of(body) + answer.body, COSIGNER.keys)
        assert [(each.kind, each.at_s) for each in found] == [(4, NOW_S), (6, NOW_S)]
        assert watched(tmp_path)[0].size == size


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (request(9, 8), 400),
        (request(0, 9), 409),
        (request(3, 9), 409),
        (request(8, 9, FORKED), 422),
        (request(8, 8, FORKED), 409),
        (request(8, 9, proof=[]), 422),
        (request(8, 8, proof=[bytes(32)]), 422),
        (request(8, 9, proof=[bytes(32)] * 64), 400),
        (request(8, 9, signer=Signer(LOG.name, bytes(32))), 403),
        (request(8, 9, signer=Signer("else", bytes(32))), 403),
        (request(8, 9).replace(LOG.name.encode(), b"another/log"), 404),
        (b"", 400),
        (b"old 8\n\n", 400),
        (b"old 08\n\nx", 400),
        (request(8, 9).replace(b"old 8", b"old  8"), 400),
        (request(8, 9).replace(b"=\n", b"\n", 1), 400),
        (request(8, 9).replace(b"\n\n", b"\n", 1), 400),
        (b"\xff" * 100, 400),
    ],
)
def test_everything_else_is_refused_and_changes_nothing(tmp_path: Path, body: bytes, status: int) -> None:
    """With the status of the standard; a conflict tells the size that is known; afterwards the honest log goes on."""
    witness = make(tmp_path)
    assert witness.add_checkpoint(request(0, 8)).status == 200
    answer = witness.add_checkpoint(body)
    assert answer.status == status
    assert "—".encode() not in answer.body
    if status == 409:
        assert (answer.media, answer.body) == ("text/x.tlog.size", b"8\n")
    assert witness.add_checkpoint(request(8, 9)).status == 200


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans(), st.booleans()), max_size=25))
def test_no_history_makes_it_cosign_two_pasts(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, bool, bool]]
) -> None:
    """Honest and forked requests in any order, with restarts: what was cosigned is one log that only grew."""
    folder = tmp_path_factory.mktemp("witness")
    witness = make(folder)
    seen: list[tuple[int, bytes]] = []
    for old, size, forked, again in asked:
        if again:
            witness = Witness(folder, COSIGNER, lambda: NOW_S)
        body = request(old, size, FORKED if forked else LEAVES)
        if witness.add_checkpoint(body).status == 200:
            checkpoint = open_checkpoint(note_of(body), [LOG.verifier])
            seen.append((checkpoint.size, checkpoint.root))
    assert [size for size, _ in seen] == sorted(size for size, _ in seen)
    assert any(all(top == root(leaves[:size]) for size, top in seen) for leaves in (LEAVES, FORKED))


def test_nothing_is_cosigned_that_is_not_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses: no cosignature leaves, and the old state stands."""
    witness = make(tmp_path)
    witness.add_checkpoint(request(0, 3))

    def full(*_: object, **__: object) -> None:
        raise StorageFailed("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(durable, "replace", full)
        with pytest.raises(StorageFailed):
            witness.add_checkpoint(request(3, 8))
    assert watched(tmp_path)[0].size == 3


def test_requests_at_once_take_turns(tmp_path: Path) -> None:
    """Eight threads ask for eight sizes from one: exactly one is cosigned, the others learn the new size."""
    witness = make(tmp_path)
    witness.add_checkpoint(request(0, 3))
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda size=size: answers.append(witness.add_checkpoint(request(3, size)).status))
        for size in range(10, 18)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, *[409] * 7]


def test_logs_are_told_apart_and_may_have_several_keys(tmp_path: Path) -> None:
    """One more key of a log is trusted too; known keys change nothing; two logs have two states."""
    witness = make(tmp_path)
    assert not watch(tmp_path, LOG.verifier)
    newer = Signer(LOG.name, bytes(range(5, 37)))
    assert watch(tmp_path, newer.verifier)
    assert watch(tmp_path, Signer("another/log", bytes(32)).verifier)
    assert witness.add_checkpoint(request(0, 3)).status == 200
    assert witness.add_checkpoint(request(3, 4, signer=newer)).status == 200
    assert [(each.origin, each.key_count, each.size) for each in watched(tmp_path)] == [(LOG.name, 2, 4), ("another/log", 1, 0)]
    for number in range(14):
        watch(tmp_path, Signer(LOG.name, bytes([number]) * 32).verifier)
    with pytest.raises(Conflict):
        watch(tmp_path, Signer(LOG.name, b"x" * 32).verifier)


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    """The name is needed the first time; the file is its owner's; damage is told."""
    file = tmp_path / "keys" / "witness.json"
    with pytest.raises(NotFound):
        load_or_create(file)
    made = load_or_create(file, "w.example/1")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [key.vkey for key in load_or_create(file).keys] == [key.vkey for key in made.keys]
    with pytest.raises(BadInput):
        load_or_create(file, "w.example/2")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(Corrupt):
        load_or_create(file)


def test_a_damaged_state_is_never_taken_for_none(tmp_path: Path) -> None:
    """Otherwise a fork could be cosigned after it."""
    witness = make(tmp_path)
    witness.add_checkpoint(request(0, 8))
    next(tmp_path.glob("*.json")).write_bytes(b"{")
    with pytest.raises(Corrupt):
        witness.add_checkpoint(request(0, 9))
    assert split_note(note_of(request(0, 8)))
