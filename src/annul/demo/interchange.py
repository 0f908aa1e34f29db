"""Write the fictional country as files that `annul import` reads: a stream, whatever its size.

Interchange format, version 1 (docs/formats/listings.md): one document a line with the columns COLUMNS, all of them text,
empty when not given. Times are RFC 3339 in UTC. Also the form of the Russian list of invalid passports, malformed lines
included, for imports of the size of the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from annul.demo import numbers
from annul.demo.country import EVENTS, KINDS, SCHEME_NAMES, Batch, Country, SchemeNo
from annul.demo.lives import standings, states
from annul.errors import BadInput
from annul.records.status import State
from annul.times import DAY_US, LONG_TERM_DAY

COLUMNS: Final = (
    "scheme",
    "issuer",
    "kind",
    "series",
    "number",
    "valid_from",
    "valid_until",
    "state",
    "reason",
    "happened_at",
)
FORMATS: Final = ("interchange-csv", "interchange-ndjson", "interchange-parquet", "ru-passports")
RU_LINES_AT_ONCE: Final = 500_000
RU_MALFORMED_EVERY: Final = 10_000
"""One line in so many is malformed. Source: the real list, some ten thousand of 132 million."""
_RU_MALFORMED: Final = (
    b"4509,12345\n",
    b"4509,\n",
    b",123456\n",
    b"I-\xd0\x96\xd0\xa1,123456\n",
    b"45 O9,l23456\n",
    b"4509;123456\n",
    b"\n",
    b"450,9123456\n",
    b'"4509",1234567\n',
)

Texts = list[str]
Progress = Callable[[int], None]


def write(country: Country, count: int, form: str, file: IO[bytes], progress: Progress = lambda _count: None) -> int:
    """Write `count` documents and return how many lines were written.

    Args:
        country: what to draw from.
        count: documents; ru-passports: lines after the header.
        form: one of FORMATS.
        file: where to, binary; parquet needs one that can tell its position.
        progress: called with the number of documents written since the last call.
    """
    if form == "ru-passports":
        return _write_passports(country.seed, count, file, progress)
    if form == "interchange-csv":
        file.write((",".join(COLUMNS) + "\n").encode())
    writer = _parquet_writer(file) if form == "interchange-parquet" else None
    written = 0
    for batch in country.documents(count):
        columns = batch_columns(batch, country.as_of_day)
        if writer is not None:
            writer.write(columns)
        elif form == "interchange-csv":
            file.write(("\n".join(map(",".join, zip(*columns, strict=True))) + "\n").encode())
        elif form == "interchange-ndjson":
            file.write(_ndjson(columns))
        else:
            raise BadInput(f"There is no format {form!r}.", where="--format", mend=f"Use one of {', '.join(FORMATS)}.")
        written += len(batch)
        progress(len(batch))
    if writer is not None:
        writer.close()
    return written


def batch_columns(batch: Batch, day: int) -> list[Texts]:
    """Return the columns of a batch in the order of COLUMNS, n texts each."""
    _, last = standings(batch.events, len(batch))
    final = np.searchsorted(batch.events.row, np.arange(len(batch)), side="right") - 1
    state = states(batch, last, day)
    over = state == State.expired  # by the calendar, not by an event
    reason = np.where(over, "", np.array([event.value for event in EVENTS])[batch.events.what[final]])
    since = np.where(over, (batch.valid_until_day + 1) * DAY_US, batch.events.happened_us[final]).astype("datetime64[us]")
    series, number = _series_and_number(batch)
    return [
        np.array(SCHEME_NAMES)[batch.scheme].tolist(),
        np.where(batch.scheme == SchemeNo.ICAO_9303, "UTO", "").tolist(),
        np.array(KINDS)[batch.kind].tolist(),
        series,
        number,
        dates(batch.valid_from_day),
        dates(batch.valid_until_day),
        np.array([state.name for state in State])[state].tolist(),
        reason.tolist(),
        [f"{text}Z" for text in np.datetime_as_string(since, unit="ms").tolist()],
    ]


def dates(days: npt.NDArray[np.int64]) -> Texts:
    """Return days as YYYY-MM-DD, "long-term", or "" for -1."""
    texts = np.datetime_as_string(days.astype("datetime64[D]")).astype("U10")
    texts[days == LONG_TERM_DAY] = "long-term"
    texts[days < 0] = ""
    listed: Texts = texts.tolist()
    return listed


def _series_and_number(batch: Batch) -> tuple[Texts, Texts]:
    text = batch.number.astype("U18")
    foreign = batch.scheme == SchemeNo.RU_INTERNAL
    series = np.where(foreign, text.astype("U4"), "")
    number = text.copy()
    number[foreign] = [value[4:] for value in text[foreign].tolist()]
    return series.tolist(), number.tolist()


def _ndjson(columns: list[Texts]) -> bytes:
    import msgspec

    encode = msgspec.json.Encoder().encode
    rows = (
        encode({name: value for name, value in zip(COLUMNS, row, strict=True) if value}) for row in zip(*columns, strict=True)
    )
    return b"\n".join(rows) + b"\n"


class _ParquetWriter:
    """Write batches as row groups."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow: Any = pyarrow
        self._schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, columns: list[Texts]) -> None:
        arrays = [self._arrow.array([value or None for value in column], self._arrow.string()) for column in columns]
        self._writer.write_batch(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _parquet_writer(file: IO[bytes]) -> _ParquetWriter:
    return _ParquetWriter(file)


def _write_passports(seed: int, count: int, file: IO[bytes], progress: Progress) -> int:
    file.write(b"PASSP_SERIES,PASSP_NUMBER\n")
    for part in _passport_lines(seed, count):
        file.write(part[1])
        progress(part[0])
    return count


def _passport_lines(seed: int, count: int) -> Iterator[tuple[int, bytes]]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x5255])))
    for start in range(0, count, RU_LINES_AT_ONCE):
        size = min(RU_LINES_AT_ONCE, count - start)
        digits = numbers.russian_numbers(np.arange(start, start + size, dtype=np.int64), seed & 0xFFFF).view(np.uint8)
        lines = np.empty((size, 12), np.uint8)
        lines[:, :4] = digits.reshape(size, 10)[:, :4]
        lines[:, 4] = ord(",")
        lines[:, 5:11] = digits.reshape(size, 10)[:, 4:]
        lines[:, 11] = ord("\n")
        bad = np.sort(rng.choice(size, rng.binomial(size, 1 / RU_MALFORMED_EVERY), replace=False))
        whole, parts, since = lines.tobytes(), [], 0
        for place in bad.tolist():
            parts += [whole[since * 12 : place * 12], _RU_MALFORMED[int(rng.integers(len(_RU_MALFORMED)))]]
            since = place + 1
        parts.append(whole[since * 12 :])
        yield size, b"".join(parts)
