"""A screened file says of every line what a single check says, and keeps what a single check keeps."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annul import keys as key_file
from annul.errors import AnnulError, BadInput, Conflict, PurposeNotAllowed, StorageFailed, TooLarge
from annul.home import Home
from annul.listings import Listings, ListingsWriter, pack
from annul.listings.values import NUMBER, WHOLE_LIFE
from annul.proof.checkpoint import open_note
from annul.proof.leaf import check_id
from annul.proof.window import verify_window
from annul.records.codes import Coverage
from annul.records.document import DocumentFields, block, number_block, parse_document
from annul.records.schemes.cn_resident import check_character
from annul.records.status import State
from annul.registry.answering.checklog import CheckLog, read_windows, worker_folder
from annul.registry.answering.checks import Checks
from annul.registry.answering.principals import Agreement, Principal
from annul.registry.answering.quota import Quota
from annul.registry.answering.screening import files
from annul.registry.answering.screening import screening as screening_module
from annul.registry.answering.screening.screening import SCREENING_WORKER, Office, Screened, Screening

NOW_US = 1_790_000_000_000_000
NUMBERS = [stem + check_character(stem) for stem in ("11010519491231002", "11010519491231005", "33010619900307123")]


class World:
    """A small register whose documents are known, and a bank."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.home.mkdir(parents=True)
        self.folder = folder
        self.keys = key_file.create(self.home)
        blind = self.keys.documents("live").blind
        writer = ListingsWriter(self.home.listings)
        writer.set_key_epoch(self.keys.epoch)
        writer.set_coverage({"cn-resident": Coverage.whole_life, "generic/UTO/ID": Coverage.listing_only})
        for place, number in enumerate(NUMBERS[:2]):
            known = parse_document(DocumentFields("cn-resident", number, valid_from="2016-10-06"))
            state = State.revoked if place else State.current
            writer.put(blind(block(known)), words(pack(state, 0, WHOLE_LIFE)))
            writer.put(blind(number_block(known)), words(pack(state, 0, WHOLE_LIFE | NUMBER)))
        lost = parse_document(DocumentFields("generic", "LOST1", issuer="UTO", kind="ID"))
        writer.put(blind(block(lost)), words(pack(State.reported_lost)))
        writer.set_applied(41, NOW_US)
        writer.close()
        self.listings = Listings(self.home.listings)
        agreement = Agreement(purposes=frozenset({"credit"}), reasons_allowed=True)
        self.bank = Principal("bank", "Bank", "relying_party", "live", agreement)
        self.office = Office(self.home, self.keys, self.listings, None, lambda: NOW_US)

    def screen(self, file: Path, *, purpose: str = "credit", heard: Callable[[float, int], None] | None = None) -> Screened:
        """Screen a file for the bank."""
        out = file.with_name("results.csv")
        made = Screening(self.office, self.bank, file, out, purpose=purpose, channel="remote")
        return made.run(heard or (lambda share, lines: None))

    def singly(self, rows: list[dict[str, str]]) -> list[dict[str, Any] | None]:
        """Ask about each row as a single check; None where it is no question."""

        async def ask() -> list[dict[str, Any] | None]:
            log, quota = CheckLog(self.home.checks, 0), Quota(self.home.quota, 0)
            realms = {realm: self.keys.documents(realm) for realm in ("live", "test")}
            checks = Checks(
                self.listings,
                realms,
                log,
                screening_module.WindowSigner(self.keys.receipt_signer()),
                quota,
                now_us=lambda: NOW_US,
            )
            found: list[dict[str, Any] | None] = []
            for row in rows:
                try:
                    answered = await checks.ask(self.bank, files.question_of(dict(row), "credit", "remote"))
                    found.append(json.loads(answered.body))
                except (AnnulError, msgspec.ValidationError):
                    found.append(None)
            await checks.close()
            log.close()
            quota.close()
            return found

        return asyncio.run(ask())


def words(value: int) -> Any:
    """One value as the writer takes it."""
    import numpy as np

    return np.array([value], np.uint64)


def results_of(made: Screened) -> list[dict[str, str]]:
    """Read the results."""
    return results_of_file(Path(made.results))


def results_of_file(path: Path) -> list[dict[str, str]]:
    """Read a file of results."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows in the form that the file's name says."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            into = csv.DictWriter(file, files.COLUMNS, lineterminator="\n")
            into.writeheader()
            into.writerows(rows)
    elif path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in files.COLUMNS})
        if path.suffix == ".parquet":
            pq.write_table(table, path, row_group_size=7)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as into_arrow:
                into_arrow.write_table(table, max_chunksize=5)
    return path


TEXTS = st.text("abc ,\"'分行号12é🙂\u200b\t", max_size=8)
ROWS = st.one_of(
    st.fixed_dictionaries(
        {"scheme": st.just("cn-resident"), "number": st.sampled_from([*NUMBERS, "1", NUMBERS[0][:-1] + "?"])},
        optional={"valid_from": st.sampled_from(["2016-10-06", "2015-01-01", "soon"]), "reference": TEXTS, "name": TEXTS},
    ),
    st.fixed_dictionaries(
        {
            "scheme": st.just("generic"),
            "number": st.sampled_from(["LOST1", "FOUND1"]),
            "issuer": st.just("UTO"),
            "kind": st.just("ID"),
        },
        optional={"branch": TEXTS, "clerk": st.just("c" * 70)},
    ),
    st.fixed_dictionaries({"scheme": st.sampled_from(["nothing", ""]), "number": st.just("1")}),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, min_size=1, max_size=30), st.sampled_from([".csv", ".ndjson", ".parquet", ".arrow"]))
def test_a_screening_is_the_map_of_single_checks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], ending: str
) -> None:
    """In every format each line has outcome, status, advice and sentence of its single check; what is no question is bad."""
    world = World(tmp_path_factory.mktemp("screening"))
    made = world.screen(write(world.folder / f"file{ending}", rows))
    single = world.singly(rows)
    found = results_of(made)
    assert [row["line"] for row in found] == [str(number) for number in range(1, len(rows) + 1)]
    assert [row["reference"] for row in found] == [row.get("reference", "") for row in rows]
    for one, result in zip(single, found, strict=True):
        if one is None:
            assert (result["outcome"], result["status"]) == ("NO_ANSWER", "")
            assert result["detail"]
        else:
            assert result["outcome"] == one["outcome"]
            assert result["status"] == one["status"]["code"]
            assert result["class"] == one["status"]["class"]
            assert result["advice"].split() == one["advice"]
            assert result["detail"] == one["detail"]
    assert made.bad == single.count(None)
    assert made.documents == len(rows) - made.bad
    assert made.listed == sum(one is not None and one["status"]["class"] in ("reported", "not_in_force") for one in single)


def test_every_line_is_accounted_for_and_the_receipt_binds_all(tmp_path: Path) -> None:
    """The IDs of the results are those of the log's leaves, in order; the note names file, results and the last window."""
    world = World(tmp_path)
    rows = [{"scheme": "generic", "number": f"D{n}", "issuer": "UTO", "kind": "ID"} for n in range(5_000)]
    made = world.screen(write(tmp_path / "file.ndjson", rows))
    windows = list(read_windows(worker_folder(world.home.checks, SCREENING_WORKER)))
    verifier = world.keys.receipt_signer().verifier
    for window in windows:
        verify_window(window.statement, window.signature, window.leaves, verifier)
    assert [row["check"] for row in results_of(made)] == [check_id(leaf) for window in windows for leaf in window.leaves]
    text = open_note(made.receipt.encode(), [verifier]).decode()
    said = dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith(("annul", "file", "results")))
    assert said["position"] == "41" == str(made.position)
    assert said["documents"] == "5000"
    last = hashlib.sha256(windows[-1].statement).digest()
    assert said["windows"] == f"{SCREENING_WORKER} 0 {len(windows) - 1} {screening_module.base64.b64encode(last).decode()}"
    for name, path in (("file", tmp_path / "file.ndjson"), ("results", Path(made.results))):
        digest = screening_module.base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
        assert f"{name} sha256 {digest}\n" in text


@pytest.mark.parametrize("ending", [".csv", ".ndjson", ".parquet", ".arrow"])
def test_an_interrupted_screening_goes_on_where_it_stopped(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its first pieces, by Ctrl-C, it asks only what has no result yet, and the results are whole."""
    monkeypatch.setattr(files, "PIECE_LINES", 7)
    world = World(tmp_path)
    rows = [{"scheme": "generic", "number": f"D{n}", "issuer": "UTO", "kind": "ID", "reference": f"r,{n}"} for n in range(40)]
    file = write(tmp_path / f"file{ending}", rows)

    def stop(_share: float, lines: int) -> None:
        if lines >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.screen(file, heard=stop)
    assert not (tmp_path / "results.csv").exists()
    heard: list[int] = []
    made = world.screen(file, heard=lambda _share, lines: heard.append(lines))
    assert heard[0] > 14
    assert [row["reference"] for row in results_of(made)] == [f"r,{n}" for n in range(40)]
    assert made.documents == 40
    windows = list(read_windows(worker_folder(world.home.checks, SCREENING_WORKER)))
    assert sum(len(window.leaves) for window in windows) == 40
    assert not list(world.home.screenings.glob("*/state.json"))


def test_no_result_without_its_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails under the accounts: nothing is told; the next run has everything, once."""
    world = World(tmp_path)
    file = write(tmp_path / "file.csv", [{"scheme": "generic", "number": "LOST1", "issuer": "UTO", "kind": "ID"}] * 3)
    append = CheckLog.append

    def failing(*_arguments: Any) -> None:
        raise StorageFailed("The check log could not be written: no space.")

    monkeypatch.setattr(CheckLog, "append", failing)
    with pytest.raises(StorageFailed):
        world.screen(file)
    assert not (tmp_path / "results.csv").exists()
    monkeypatch.setattr(CheckLog, "append", append)
    made = world.screen(file)
    assert [row["status"] for row in results_of(made)] == ["S10", "S10", "S10"]
    assert sum(len(window.leaves) for window in read_windows(worker_folder(world.home.checks, SCREENING_WORKER))) == 3


def whole(tmp_path: Path, ending: str) -> Path:
    """A good file, to be spoilt."""
    rows = [{"scheme": "generic", "number": f"D{n}", "issuer": "UTO", "kind": "ID"} for n in range(500)]
    return write(tmp_path / f"file{ending}", rows)


def torn(tmp_path: Path, ending: str) -> Path:
    """A file that was cut off."""
    file = whole(tmp_path, ending)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def one_line(tmp_path: Path, ending: str) -> Path:
    """A file of one endless line (sparse: it takes no room)."""
    file = tmp_path / f"file{ending}"
    file.write_bytes(b"scheme,number\n" if ending == ".csv" else b"")
    with file.open("r+b") as opened:
        opened.truncate(10 << 30)
    return file


def other_columns(tmp_path: Path, ending: str) -> Path:
    """A file of another form."""
    (tmp_path / f"file{ending}").write_text("scheme,passport\ngeneric,1\n")
    return tmp_path / f"file{ending}"


def spoilt_within(tmp_path: Path, ending: str) -> Path:
    """A file with a page that is not what was written, behind good ones."""
    file = whole(tmp_path, ending)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 400] = bytes(400)
    file.write_bytes(raw)
    return file


def missing(tmp_path: Path, ending: str) -> Path:
    """No file."""
    return tmp_path / f"file{ending}"


@pytest.mark.parametrize(
    ("spoilt", "ending", "error"),
    [
        (torn, ".parquet", BadInput),
        (torn, ".arrow", BadInput),
        (one_line, ".csv", TooLarge),
        (one_line, ".ndjson", TooLarge),
        (other_columns, ".csv", BadInput),
        (other_columns, ".parquet", BadInput),
        (other_columns, ".arrow", BadInput),
        (other_columns, ".xlsx", BadInput),
        (missing, ".csv", BadInput),
    ],
)
def test_a_file_that_cannot_be_screened_is_refused_and_leaves_nothing(
    tmp_path: Path, spoilt: Callable[[Path, str], Path], ending: str, error: type[AnnulError]
) -> None:
    """Refused with what is wrong and how to mend it, before anything is read in full; no account, no results, no state."""
    world = World(tmp_path)
    with pytest.raises(error) as refused:
        world.screen(spoilt(tmp_path, ending))
    assert refused.value.mend
    assert not list(tmp_path.glob("results*"))
    assert not world.home.screenings.exists()
    assert not worker_folder(world.home.checks, SCREENING_WORKER).exists()


def test_a_file_damaged_within_leaves_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces before the damage were accounted for; results of half a file are not left as if it could go on."""
    monkeypatch.setattr(files, "PIECE_LINES", 50)
    world = World(tmp_path)
    with pytest.raises(BadInput):
        world.screen(spoilt_within(tmp_path, ".parquet"))
    assert not list(tmp_path.glob("results*"))
    assert not list(world.home.screenings.glob("*/*"))


def test_what_the_agreement_does_not_cover_is_refused(tmp_path: Path) -> None:
    """Another purpose is refused before anything is answered."""
    world = World(tmp_path)
    with pytest.raises(PurposeNotAllowed):
        world.screen(whole(tmp_path, ".csv"), purpose="medical")
    assert not list(tmp_path.glob("results*"))


def test_one_screening_at_a_time(tmp_path: Path) -> None:
    """Another screening of this machine is told so."""
    world = World(tmp_path)
    log = CheckLog(world.home.checks, SCREENING_WORKER)
    with pytest.raises(Conflict, match="Another screening runs"):
        world.screen(whole(tmp_path, ".csv"))
    log.close()
    assert world.screen(tmp_path / "file.csv").documents == 500
