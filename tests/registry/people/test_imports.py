"""Imports of persons: every format, every bad line, two officers, undo, and what a crash leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annul.demo import numbers
from annul.errors import BadInput, Conflict, Forbidden, NotFound
from annul.records.entry import BulkBody, EntryKind, decode
from annul.registry.people.imports import PersonImports
from annul.registry.people.reading import read_one
from annul.registry.people.rows import read_all
from annul.registry.writing.act import Act
from annul.registry.writing.store import connect
from tests.registry.people.town import LI, REGISTRAR, SECOND, WANG, Town, person, write_csv
from tests.registry.world import START_US

GOOD = {"personal_number": WANG, "name": "王小明"}


def number(place: int) -> str:
    """Return the n-th good citizen number."""
    import numpy as np

    text = numbers.personal_numbers(np.array([110105]), np.array([place // 400]), np.array([place % 400 + 1]))[0]
    return text.decode()


def count(town: Town, table: str = "person_record") -> int:
    """Count rows."""
    with psycopg.connect(town.conninfo) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index]


def in_force(town: Town, file: Path) -> str:
    """Stage, confirm by the second officer and follow; return the import's id."""
    made = town.imports.stage(REGISTRAR, file)
    asyncio.run(town.imports.confirm(SECOND, made.id))
    town.follow()
    return made.id


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_the_three_formats_bring_the_same_persons(town: Town, tmp_path: Path, form: str) -> None:
    """Names, former names, documents and contacts come out as they went in."""
    file = tmp_path / f"list.{form}"
    row = {
        "personal_number": WANG,
        "name": "王小明",
        "latin_name": "Wang Xiaoming",
        "former_names": "王大明|王二",
        "sex": "M",
        "birth_date": "1949-12-31",
        "place": "110105",
        "phone": "+86 10 5550 0199",
        "documents": '[{"scheme":"icao-9303","issuer":"UTO","kind":"P","number":"L898902C3"}]',
    }
    if form == "csv":
        write_csv(file, [row], columns=tuple(row))
    elif form == "parquet":
        pq.write_table(pa.table({name: [value] for name, value in row.items()}), file)
    else:
        names = [{"text": "王小明"}, {"text": "Wang Xiaoming", "kind": "latin"}]
        names += [{"text": text, "kind": "former"} for text in ("王大明", "王二")]
        value = {name: row[name] for name in ("personal_number", "sex", "birth_date", "place")}
        value |= {
            "names": names,
            "documents": json.loads(row["documents"]),
            "contacts": [{"kind": "phone", "value": row["phone"]}],
        }
        file.write_text(json.dumps(value) + "\n")
    in_force(town, file)
    assert [town.asked(WANG, name) for name in ("王小明", "XIAOMING WANG", "王大明", "王二")] == ["M1"] * 4
    assert town.asked("L898902C3", "王小明", scheme="icao-9303", issuer="UTO", kind="P") == "M1"
    with connect(town.conninfo) as db:
        ((_, found),) = next(iter(read_all(db, town.vault, 0)))
    assert (found.birth_date, found.place, found.contacts[0].value) == ("1949-12-31", "110105", row["phone"])


def test_what_is_staged_counts_for_nobody(town: Town, tmp_path: Path) -> None:
    """Neither the check path nor the desk sees it before it is in force."""
    town.imports.stage(REGISTRAR, write_csv(tmp_path / "l.csv", [GOOD]))
    town.follow()
    with pytest.raises(NotFound):
        asyncio.run(town.people.find(REGISTRAR, WANG, case="c"))
    assert town.follow() == 1  # the look-up's note alone
    assert town.asked(WANG, "王小明") == "M3"


BAD_LINES = [
    ({"personal_number": "", "name": "王"}, "number-missing"),
    ({"personal_number": "n" * 65, "name": "王"}, "text-too-long"),
    ({"personal_number": LI, "name": ""}, "name-missing"),
    ({"personal_number": LI, "name": "x" * 201}, "name-too-long"),
    ({"personal_number": LI, "name": "王\x07"}, "name-control-character"),
    ({"personal_number": LI, "name": "王2"}, "name-not-letters"),
    ({"personal_number": LI, "name": "\ue123"}, "name-private-character"),
    ({"personal_number": LI, "name": "Iv\u0430nov"}, "name-mixed-scripts"),
    ({"personal_number": LI, "name": "J\ufffdrgen"}, "name-damaged"),
    ({"personal_number": LI, "name": "王", "sex": "woman"}, "sex"),
    ({"personal_number": LI, "name": "王", "status": "asleep"}, "status"),
    ({"personal_number": LI, "name": "王", "birth_date": "31.12.1949"}, "date-unusable"),
    ({"personal_number": LI, "name": "王", "birth_date": "1949-02-30"}, "date-unusable"),
    ({"personal_number": LI, "name": "王", "documents": "[1]"}, "document-unusable"),
    ({"personal_number": LI, "name": "王", "documents": '[{"scheme":"none","number":"1"}]'}, "document-unusable"),
    ({"personal_number": LI, "name": "王", "place": "a\tb"}, "control-character"),
    ({"personal_number": WANG, "name": "王小明"}, "number-known"),
]


def test_every_bad_line_is_refused_with_its_cause_and_its_number(town: Town, tmp_path: Path) -> None:
    """The good ones around them are entered; nothing of a bad line is repeated."""
    columns = ("personal_number", "name", "sex", "status", "birth_date", "documents", "place")
    file = write_csv(tmp_path / "l.csv", [GOOD, *(line for line, _ in BAD_LINES)], columns=columns)
    with file.open("a", encoding="utf-8") as more:
        more.write('only,two\n"never closed\n')
    dry = town.imports.try_run(REGISTRAR, file)
    made = town.imports.stage(REGISTRAR, file)
    assert dry.bad == made.report.bad
    assert made.person_count == dry.good == 1
    causes: dict[str, list[int]] = {}
    for place, (_, cause) in enumerate(BAD_LINES):
        causes.setdefault(cause, []).append(place + 3)
    found = {cause: each.first_lines for cause, each in made.report.bad.items()}
    assert found.pop("columns")[0] == len(BAD_LINES) + 3
    assert found == causes


def test_ten_thousand_wrong_lines(town: Town, tmp_path: Path) -> None:
    """They are counted, ten of each cause are named, and the list is refused as a whole when no line is good."""
    wrong = [{"personal_number": f"N{place}", "name": "1"} for place in range(10_000)]
    file = write_csv(tmp_path / "l.csv", wrong)
    with pytest.raises(BadInput) as refused:
        town.imports.stage(REGISTRAR, file)
    assert refused.value.extra["causes"] == {"name-not-letters": 10_000}
    assert (count(town), count(town, "person_import")) == (0, 0)
    report = town.imports.try_run(REGISTRAR, write_csv(file, [*wrong, GOOD]))
    assert (report.good, report.bad_count) == (1, 10_000)
    assert report.bad["name-not-letters"].first_lines == list(range(2, 12))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "number,name\n1,a\n"),
        ("l.csv", "personal_number\n1\n"),
        ("l.csv", "personal_number,name,name\n1,a,b\n"),
        ("l.csv", ""),
        ("l.parquet", "no parquet"),
        ("l.txt", "a"),
    ],
)
def test_a_list_that_is_none_is_refused_as_a_whole(town: Town, tmp_path: Path, name: str, text: str) -> None:
    """No header, other columns, another format; nothing is left behind."""
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput):
        town.imports.stage(REGISTRAR, tmp_path / name)
    assert count(town, "person_import") == 0


def test_lines_of_ndjson_that_are_none(town: Town, tmp_path: Path) -> None:
    """No JSON, other members, far too long: each by its line."""
    file = tmp_path / "l.ndjson"
    good = '{"personal_number":"%s","names":[{"text":"王"}]}'
    file.write_bytes(
        b"\n".join(
            [
                (good % WANG).encode(),
                b"{",
                b'{"personal_number":"1"}',
                b'"' + b"x" * 200_000 + b'"',
                (good % LI).encode(),
                b"\xff\xfe",
            ]
        )
    )
    report = town.imports.try_run(REGISTRAR, file)
    assert report.good == 2
    assert {cause: each.first_lines for cause, each in report.bad.items()} == {
        "not-json": [2, 6],
        "members": [3],
        "line-too-long": [4],
    }


def test_many_small_imports_of_one_person_are_a_large_one(town: Town) -> None:
    """What she brought in within a day is summed for the limit."""
    imports = PersonImports(town.ground, town.conninfo, town.vault, limit=3)

    def stage(first: int) -> str:
        return imports.stage_lines(REGISTRAR, [[(n, read_one(person(number(n)))) for n in range(first, first + 2)]]).id

    asyncio.run(imports.confirm(REGISTRAR, stage(0)))
    crossing = stage(2)
    with pytest.raises(Forbidden, match="second officer"):
        asyncio.run(imports.confirm(REGISTRAR, crossing))
    assert asyncio.run(imports.confirm(SECOND, crossing)).state == "in_force"


def test_a_large_import_needs_a_second_officer(town: Town) -> None:
    """Rule 11; one event in the log, with what it brought."""
    imports = PersonImports(town.ground, town.conninfo, town.vault, limit=2)
    made = imports.stage_lines(REGISTRAR, [[(n, read_one(person(number(n)))) for n in range(3)]])
    assert made.two_officers
    for same in (REGISTRAR, Act("registry-1/7", credential="key-7"), Act("registry-2"), Act("registry-2", credential="key-1")):
        with pytest.raises(Forbidden, match="second officer"):
            asyncio.run(imports.confirm(same, made.id))
    asyncio.run(imports.confirm(SECOND, made.id))
    with pytest.raises(Conflict):
        asyncio.run(imports.confirm(SECOND, made.id))
    with psycopg.connect(town.conninfo) as db:
        rows = db.execute("SELECT entry FROM register_log").fetchall()
    (entry,) = (decode(bytes(row[0])) for row in rows)
    assert entry.kind is EntryKind.person_import
    assert (BulkBody.decode(entry.body).event_id.hex(), BulkBody.decode(entry.body).count) == (made.id, 3)


def test_an_import_is_undone_as_one_event(town: Town, tmp_path: Path) -> None:
    """Everything it brought goes, but for persons who were changed since."""
    file = write_csv(
        tmp_path / "l.csv",
        [GOOD, {"personal_number": number(1), "name": "李雷"}, {"personal_number": number(2), "name": "韩梅"}],
    )
    made = in_force(town, file)
    asyncio.run(town.people.rename(REGISTRAR, number(2), "韩梅梅", happened_at_us=START_US))
    undone = asyncio.run(town.imports.undo(REGISTRAR, made, evidence="wrong list"))
    town.follow()
    assert undone.state == "undone"
    assert [town.asked(WANG, "王小明"), town.asked(number(1), "李雷"), town.asked(number(2), "韩梅梅")] == ["M3", "M3", "M1"]
    assert count(town) == 1
    assert len(asyncio.run(town.people.find(REGISTRAR, number(2), case="c"))) == 1
    assert asyncio.run(town.imports.view(REGISTRAR, made)).applied
    with pytest.raises(Conflict):
        asyncio.run(town.imports.undo(REGISTRAR, made))
    in_force(town, write_csv(file, [GOOD]))
    assert town.asked(WANG, "王小明") == "M1"


def test_discarding_leaves_nothing(town: Town, tmp_path: Path) -> None:
    """A staged import that is not wanted."""
    made = town.imports.stage(REGISTRAR, write_csv(tmp_path / "l.csv", [GOOD]))
    asyncio.run(town.imports.discard(REGISTRAR, made.id))
    assert count(town) == 0
    with pytest.raises(Conflict):
        asyncio.run(town.imports.confirm(SECOND, made.id))


def test_an_import_cut_off_in_the_middle_counts_for_nobody_and_is_removed(town: Town) -> None:
    """Whatever kills it: the next import after a day clears it away."""

    def lines() -> object:
        yield [(n, read_one(person(number(n)))) for n in range(5)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        town.imports.stage_lines(REGISTRAR, lines())  # type: ignore[arg-type]
    assert count(town) == count(town, "person_import") == 0
    with psycopg.connect(town.conninfo, autocommit=True) as db:  # as a kill leaves it
        db.execute(
            "INSERT INTO person_import (id, realm, state, evidence, staged_by, staged_at_us) "
            "VALUES ('x', 0, 'loading', '', 'o', 0)"
        )
    town.imports.stage_lines(REGISTRAR, [[(1, read_one(person()))]])
    assert count(town, "person_import") == 1


def test_an_import_is_taken_up_bit_by_bit_and_again_after_a_crash(town: Town) -> None:
    """The follower takes a chunk a turn; one that starts anew in the middle begins again, which changes nothing."""
    made = town.imports.stage_lines(REGISTRAR, [[(n, read_one(person(number(n), "王"))) for n in range(30)]])
    asyncio.run(town.imports.confirm(SECOND, made.id))
    town.follower.turn()
    assert town.follower._names.take_imports(town.follower.following.db) == 30
    town.close()
    town.follow()
    assert all(town.asked(number(n), "王") == "M1" for n in range(30))
    assert asyncio.run(town.imports.view(REGISTRAR, made.id)).applied
