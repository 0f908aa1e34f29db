"""Asking witnesses: a real log of tiles, real witnesses over HTTP, and everything that may be wrong with either."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from annul.client.logs import open_sealed
from annul.errors import BadInput, Conflict, VerificationFailed
from annul.home import Home
from annul.outgoing import Outgoing
from annul.proof.checkpoint import Signer, sign_checkpoint
from annul.proof.cosignature import Cosigner, WitnessKey
from annul.proof.tiles import CHECKPOINT, TileWriter
from annul.witness.asking import Asked, Rounds, add, ask, asked, last_cosigned, rounds
from annul.witness.server import server_of
from annul.witness.witness import Witness, watch, watched
from tests.waiting import until

LOG = Signer("annul-0123456789ab/checks", bytes(range(32)))


def cosigner(number: int) -> Cosigner:
    """Return the keys of a witness."""
    return Cosigner(f"w{number}.example", bytes([number]) * 32, bytes([number + 100]) * 32)


def grow(home: Home, count: int, word: str = "entry") -> None:
    """Seal more entries of the check log."""
    writer = TileWriter(home.log("checks"))
    writer.append([f"{word} {writer.size + number}".encode() for number in range(count)])
    writer.write_checkpoint(sign_checkpoint(LOG.name, writer.size, writer.root(), LOG))


@contextmanager
def serving(folder: Path, number: int) -> Iterator[Asked]:
    """Run a witness that watches the log."""
    watch(folder, LOG.verifier)
    keys = cosigner(number)
    with server_of(Witness(folder, keys, lambda: 1_795_442_400), b"about\n", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Asked(f"http://127.0.0.1:{server.server_address[1]}", keys.keys)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client with a short patience."""
    with httpx.Client(timeout=1.0) as client:
        yield client


def test_both_witnesses_cosign_every_step_of_a_log(tmp_path: Path, http: httpx.Client) -> None:
    """Over bounds of tiles; the kept checkpoint has the quorum; what is cosigned already is not asked again."""
    home = Home(tmp_path / "home")
    with serving(tmp_path / "one", 1) as one, serving(tmp_path / "two", 2) as two:
        turn = Rounds(home, "checks", http)
        assert turn.step([one, two]) == 0
        for count in (3, 250, 300, 1):
            grow(home, count)
            assert turn.step([one, two]) == 2
            assert turn.step([one, two]) == 0
            note = home.witnessed("checks").read_bytes()
            assert note.startswith((home.log("checks") / CHECKPOINT).read_bytes())
            sealed = open_sealed(note, [LOG.verifier], [*one.keys, *two.keys], 2)
        assert sealed.size == 554
        assert [each.size for each in watched(tmp_path / "one")] == [554]
        assert last_cosigned(home, "checks", one) == (554, 1_795_442_400)
        assert last_cosigned(home, "checks", Asked("http://x", cosigner(9).keys)) == (0, 0)
        assert last_cosigned(home, "register", one) == (0, 0)
        assert http.get(one.url + "/").text == "about\n"


def test_a_witness_that_is_down_or_says_nothing_costs_its_own_cosignature(tmp_path: Path, http: httpx.Client) -> None:
    """The other's is kept, and the next round asks again."""
    home = Home(tmp_path / "home")
    grow(home, 5)
    with serving(tmp_path / "one", 1) as one, socket.create_server(("127.0.0.1", 0)) as silent:
        mute = Asked(f"http://127.0.0.1:{silent.getsockname()[1]}", cosigner(3).keys)
        down = Asked("http://127.0.0.1:9", cosigner(4).keys)
        stranger = Asked(one.url, cosigner(5).keys)
        turn = Rounds(home, "checks", http)
        assert turn.step([mute, one, down, stranger]) == 1
        assert turn.step([mute, one, down, stranger]) == 1
        open_sealed(home.witnessed("checks").read_bytes(), [LOG.verifier], one.keys, 1)


def test_a_log_that_changed_its_past_is_told(tmp_path: Path, http: httpx.Client) -> None:
    """Rolled back, forked at one size, forked and grown: the register hears what its witness saw."""
    with serving(tmp_path / "one", 1) as one:
        honest = Home(tmp_path / "honest")
        grow(honest, 8)
        assert Rounds(honest, "checks", http).step([one]) == 1
        for name, count, said in (("short", 3, "rolled back"), ("same", 8, "forked"), ("long", 9, "changed")):
            other = Home(tmp_path / name)
            grow(other, count, "other")
            note = (other.log("checks") / CHECKPOINT).read_bytes()
            with pytest.raises(VerificationFailed, match=said):
                ask(http, one, note, other.log("checks"))
            assert Rounds(other, "checks", http).step([one]) == 0
            assert not other.witnessed("checks").exists()


def test_the_server_takes_anything(tmp_path: Path, http: httpx.Client) -> None:
    """Other pages, other methods, no length, too long, half a body: a status, and the next request is answered."""
    with serving(tmp_path / "one", 1) as one:
        assert http.get(one.url + "/x").status_code == 404
        assert http.post(one.url + "/x", content=b"old").status_code == 404
        assert http.put(one.url + "/add-checkpoint", content=b"old").status_code == 501
        assert http.post(one.url + "/add-checkpoint", content=b"").status_code == 400
        assert http.post(one.url + "/add-checkpoint", content=b"x" * 70_000).status_code == 413
        assert http.post(one.url + "/add-checkpoint", content=iter([b"x"])).status_code == 411
        with socket.create_connection(("127.0.0.1", int(one.url.rpartition(":")[2]))) as half:
            half.sendall(b"POST /add-checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\nold 0\n")
        assert http.get(one.url + "/").status_code == 200


def test_the_list_of_witnesses_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A line each; two keys of one address are one witness; sixteen addresses at most."""
    file = tmp_path / "witness" / "asked"
    assert asked(file) == []
    first, second = cosigner(1).keys
    assert add(file, "https://w1.example/", first)
    assert add(file, "https://w1.example", second)
    assert not add(file, "https://w1.example", second)
    assert [(each.url, [key.kind for key in each.keys]) for each in asked(file)] == [("https://w1.example", [4, 6])]
    for number in range(2, 17):
        add(file, f"https://w{number}.example", cosigner(number).keys[0])
    with pytest.raises(Conflict):
        add(file, "https://w17.example", first)
    for url in ("w1.example", "ftp://w1.example", "https://", "https://a b"):
        with pytest.raises(BadInput):
            add(file, url, first)
    file.write_text("https://w1.example nonsense\n")
    with pytest.raises(BadInput):
        asked(file)


def test_rounds_go_on_by_themselves(tmp_path: Path) -> None:
    """A witness added while they run is asked; a spoiled list is told and mended; they stop when told to."""
    home, stop = Home(tmp_path / "home"), threading.Event()
    grow(home, 4)
    with serving(tmp_path / "one", 1) as one:
        thread = threading.Thread(target=rounds, args=(home, stop, Outgoing()), kwargs={"pause_s": 0.01})
        thread.start()
        try:
            home.witnesses.parent.mkdir(parents=True)
            home.witnesses.write_text("nonsense\n")
            home.witnesses.unlink()
            add(home.witnesses, one.url, WitnessKey.parse(one.keys[1].vkey))
            until(home.witnessed("checks").exists, "a cosignature")
        finally:
            stop.set()
            thread.join()
    open_sealed(home.witnessed("checks").read_bytes(), [LOG.verifier], one.keys, 1)
