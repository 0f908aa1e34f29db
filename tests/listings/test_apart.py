"""Lists are read in a process of their own: what unpacks to too much is refused in words, and a stop ends the reading."""

from __future__ import annotations

import bz2
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annul.errors import AnnulError, BadInput, Conflict, TimedOut, TooLarge
from annul.listings.apart import UPLOADED, Limits, Source, read_apart
from annul.listings.bulk import Chunk, try_list
from annul.listings.russian_list import made_list
from annul.listings.values import pack
from annul.records.status import State

REVOKED = pack(State.revoked)


def same(left: Chunk, right: Chunk) -> bool:
    """Tell whether two chunks hold the same."""
    ends = [(c.place, c.lines, c.bytes_done, c.bad, c.passed_over, len(c.parts)) for c in (left, right)]
    parts = zip(left.parts, right.parts, strict=True)
    return ends[0] == ends[1] and all(
        a.blocks == b.blocks and a.number_blocks == b.number_blocks and np.array_equal(a.values, b.values) for a, b in parts
    )


def bomb(path: Path) -> Path:
    """A thousand million lines of bzip2 in few bytes: streams behind each other are one file."""
    path.write_bytes(bz2.compress(b"4509,123456\n" * (1 << 20)) * 1_000)
    return path


@pytest.mark.parametrize("ending", ["csv", "bz2", "interchange"])
def test_it_reads_what_the_reader_reads(tmp_path: Path, ending: str) -> None:
    """The same chunks, bad lines and places, from the beginning and from any place on."""
    if ending == "interchange":
        path = tmp_path / "list.csv"
        rows = "".join(f"generic,X,PASS,,N{n:07},I20\n" for n in range(40_000))
        path.write_text("scheme,issuer,kind,series,number,state\n" + rows + "generic,X,PASS,,,I20\n")
        source = Source(str(path), "interchange", whole=("generic/X/PASS",))
    else:
        raw = b"".join(made_list(1 << 20, bad_every=1_000))
        path = tmp_path / f"list.{ending}"
        path.write_bytes(bz2.compress(raw) if ending == "bz2" else raw)
        source = Source(str(path), "russian", REVOKED)
    here = list(source.reader()(0, 0))
    apart = list(read_apart(source, UPLOADED)(0, 0))
    assert len(here) == len(apart) > 1
    assert all(same(*pair) for pair in zip(here, apart, strict=True))
    rest = list(read_apart(source, UPLOADED)(here[0].place, here[0].lines))
    assert [chunk.lines for chunk in rest] == [chunk.lines for chunk in here[1:]]


def refused(source: Source, limits: Limits = UPLOADED) -> tuple[AnnulError, float]:
    """Read until it is refused; return the error and the seconds it took."""
    begun = time.monotonic()
    with pytest.raises(AnnulError) as caught:
        try_list(read_apart(source, limits), total_bytes=1)
    return caught.value, time.monotonic() - begun


def test_a_packed_thousand_million_lines_is_refused_at_once(tmp_path: Path) -> None:
    """The ratio is passed with the first piece; nobody waits for the rest."""
    error, _ = refused(Source(str(bomb(tmp_path / "bomb.bz2")), "russian", REVOKED))
    assert isinstance(error, TooLarge)
    assert "far more than its size" in error.message
    assert error.mend


def test_a_parquet_file_of_nothing_but_repetition_is_refused_by_its_footer(tmp_path: Path) -> None:
    """Four million rows in some kilobytes: refused before a row is unpacked."""
    column = pa.array(["4509"], pa.string()).dictionary_encode()
    rows = 4_000_000
    same_ = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), column.dictionary)
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"scheme": same_, "number": same_, "state": same_}), path, compression="zstd")
    assert path.stat().st_size < 200_000
    error, _ = refused(Source(str(path), "interchange"))
    assert isinstance(error, TooLarge)
    assert "far more than its size" in error.message


def test_more_lines_memory_or_seconds_than_allowed_is_refused_in_words(tmp_path: Path) -> None:
    """Each limit has a sentence and a next step; the process that read is gone."""
    path = tmp_path / "list.csv"
    path.write_bytes(b"".join(made_list(1 << 21)))
    source = Source(str(path), "russian", REVOKED)
    for limits, kind, words in (
        (UPLOADED._replace(lines=1_000), TooLarge, "more lines"),
        (UPLOADED._replace(memory_bytes=48 << 20), TooLarge, "more memory"),
    ):
        error, _ = refused(source, limits)
        assert isinstance(error, kind), error
        assert words in error.message
        assert error.mend
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"4509,123456\n" * (1 << 26))
    error, _ = refused(Source(str(empty), "russian", REVOKED), Limits(512 << 20, 1 << 40, 1))
    assert isinstance(error, TimedOut)


def test_what_is_wrong_with_a_list_is_told_as_before(tmp_path: Path) -> None:
    """The words of the reader come through the pipe."""
    path = tmp_path / "list.bz2"
    path.write_bytes(b"BZh9 and then something else")
    error, _ = refused(Source(str(path), "russian", REVOKED))
    assert isinstance(error, BadInput)
    assert "cannot be read or unpacked" in error.message


def test_a_stop_ends_the_reading_at_once(tmp_path: Path) -> None:
    """In the middle of a long list: the next look ends it, and no process is left."""
    path = tmp_path / "list.csv"
    path.write_bytes(b"".join(made_list(1 << 21)))
    asked: list[bool] = []
    chunks: Iterator[Chunk] = read_apart(Source(str(path), "russian", REVOKED), UPLOADED, lambda: bool(asked))(0, 0)
    next(chunks)
    asked.append(True)
    with pytest.raises(Conflict, match="was stopped"):
        list(chunks)
