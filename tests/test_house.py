"""The plan of the house is true: drawn from the imports, within its limits, and every file it names is there."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import grimp
import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "annul"


@pytest.fixture(scope="module")
def house() -> ModuleType:
    """The script that draws the plan."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the package."""
    return grimp.build_graph("annul", cache_dir=None)


def test_the_plan_is_as_the_imports_are(house: ModuleType) -> None:
    """docs/house.md is what `make house` would write now."""
    assert house.page() == house.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "places", "floors", "imports"),
    [("annul.registry", 16, 7, 50), ("annul.web", 12, 7, None)],
    ids=["registry", "web"],
)
def test_a_house_keeps_its_size(
    house: ModuleType, graph: grimp.ImportGraph, name: str, places: int, floors: int, imports: int | None
) -> None:
    """So many places, floors and imports at most: a new file goes into a room, not into the hall."""
    between = house.imports_of(graph, house.rooms_of(graph, name))
    assert len(between) <= places
    assert len(house.floors_of(between)) <= floors
    assert imports is None or sum(map(len, between.values())) <= imports


def test_every_file_the_plan_names_is_there(house: ModuleType) -> None:
    """ "Where do I change": a file that moved is named anew."""
    text = house.PAGE.read_text(encoding="utf-8").partition(house.BEGIN)[0]
    named = re.findall(r"`((?:src|docs|scripts|tests)/[^`]+)`", text)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_nothing_grows_beyond_what_a_reader_holds() -> None:
    """Functions of 70 lines, files of 600: what is longer does two things."""
    long = []
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "migrations" in file.parts:
            continue
        if text.count("\n") > 600:
            long.append(f"{file.relative_to(SOURCE)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 70:
                long.append(f"{file.relative_to(SOURCE)}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    assert long == []


def test_the_formatter_is_overruled_for_tables_alone() -> None:
    """`fmt: skip` stands behind tables of data, sixty times at most in the whole project."""
    count = sum(
        file.read_text(encoding="utf-8").count("# fmt: skip")
        for folder in ("src", "tests", "scripts")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "test_house.py"
    )
    assert count <= 60


def _definitions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield every public function, method and class with its file."""
    for file in sorted(SOURCE.rglob("*.py")):
        if "migrations" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield file.relative_to(SOURCE), node


def test_a_class_has_its_name_alone_in_its_room() -> None:
    """Two classes of one name in one room are taken for each other."""
    places = defaultdict(set)
    for file, node in _definitions():
        if isinstance(node, ast.ClassDef) and len(file.parts) > 2:
            places[*file.parts[:2], node.name].add(str(file))
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


CALLED_BY_OTHERS = {
    *("do_GET", "do_POST", "log_message", "eof_received", "send_400_response", "load_bytecode", "dump_bytecode"),
    *("startup", "wait_closed", "format_commands"),
}
"""Methods that a base class of a library calls by their names."""


def test_what_is_public_is_called_by_the_product() -> None:
    """What only tests call is theirs; a promise that nothing of the product keeps is none."""
    called = set()
    for file in (*SOURCE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                called.add(node.id)
            elif isinstance(node, ast.Attribute):
                called.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.:]+", node.value):
                called |= set(re.findall(r"\w+", node.value))
    for file in SOURCE.rglob("*.html"):
        called |= set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    idle = {
        f"{file}: {node.name}"
        for file, node in _definitions()
        if node.name not in called | CALLED_BY_OTHERS and not node.decorator_list
    }
    assert idle == set()
