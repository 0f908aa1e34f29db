"""Draw the plan of the house from the imports: docs/house.md between its marks.

    python scripts/house.py            write it anew (make house)
    python scripts/house.py --check    exit 1 when it is not as the imports are

A room stands on the floor above everything it imports; its promise is the first line of its docstring. Nothing is drawn by
hand but the table "Where do I change", whose files a test looks for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "annul"
PAGE = ROOT / "docs" / "house.md"
BEGIN, END = "<!-- drawn by scripts/house.py: begin -->", "<!-- end -->"
HOUSES = ("annul", "annul.registry", "annul.web")
"""What is drawn: the whole, and the two rooms that are houses themselves."""
LEFT_OUT = frozenset({"annul.__main__", "annul.registry.migrations", "annul.web.locale"})
WIDTH = 120


def rooms_of(graph: grimp.ImportGraph, house: str) -> list[str]:
    """Return the places directly in a house."""
    return sorted(child for child in graph.find_children(house) if child not in LEFT_OUT)


def imports_of(graph: grimp.ImportGraph, rooms: Iterable[str]) -> dict[str, set[str]]:
    """Return what each room imports of the others."""
    rooms = list(rooms)
    members = {room: {room, *graph.find_descendants(room)} for room in rooms}
    owner = {module: room for room, modules in members.items() for module in modules}
    return {
        room: {
            owner[target]
            for module in members[room]
            for target in graph.find_modules_directly_imported_by(module)
            if target in owner and owner[target] != room
        }
        for room in rooms
    }


def floors_of(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return the rooms by floor, the lowest first; a room stands just above the highest it imports.

    Raises:
        SystemExit: two rooms import one another.
    """
    floor: dict[str, int] = {}
    while len(floor) < len(imports):
        ready = [room for room, below in imports.items() if room not in floor and below <= floor.keys()]
        if not ready:
            raise SystemExit(f"house: these import one another: {sorted(imports.keys() - floor.keys())}")
        for room in ready:
            floor[room] = 1 + max((floor[below] for below in imports[room]), default=-1)
    floors: list[list[str]] = [[] for _ in range(1 + max(floor.values()))]
    for room in sorted(imports):
        floors[floor[room]].append(room)
    return floors


def promise_of(room: str) -> str:
    """Return the first line of a room's docstring, without its full stop."""
    place = SOURCE.parent / Path(*room.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


def drawn(floors: list[list[str]]) -> str:
    """Draw the floors, the highest on top, every room a box."""
    lines = []
    for number in range(len(floors) - 1, -1, -1):
        names = [f"[ {room.rpartition('.')[2]} ]" for room in floors[number]]
        row = f"{number + 1:>2}  "
        for name in names:
            if len(row) + len(name) > WIDTH:
                lines.append(row.rstrip())
                row = "    "
            row += name + " "
        lines.append(row.rstrip())
    return "```text\n" + "\n".join(lines) + "\n```"


def section(graph: grimp.ImportGraph, house: str) -> str:
    """Return what is said of one house: its drawing, and a line for each room."""
    imports = imports_of(graph, rooms_of(graph, house))
    floors = floors_of(imports)
    count = sum(map(len, imports.values()))
    lines = [f"### `{house}`: {len(imports)} places, {len(floors)} floors, {count} imports between them, none upward", ""]
    lines += [drawn(floors), "", "| room | promise | stands on |", "|---|---|---|"]
    for floor in reversed(floors):
        for room in floor:
            below = ", ".join(sorted(each.rpartition(".")[2] for each in imports[room]))
            lines.append(f"| `{room.rpartition('.')[2]}` | {promise_of(room)} | {below} |")
    return "\n".join(lines)


def page() -> str:
    """Return docs/house.md as it should be."""
    graph = grimp.build_graph("annul", cache_dir=None)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + "\n\n" + "\n\n".join(section(graph, house) for house in HOUSES) + "\n\n" + END + after


def main(arguments: list[str]) -> int:
    """Write the page, or with --check tell whether it is true."""
    made = page()
    if "--check" in arguments:
        if made == PAGE.read_text(encoding="utf-8"):
            return 0
        print("docs/house.md is not as the imports are. Run: make house", file=sys.stderr)
        return 1
    PAGE.write_text(made, encoding="utf-8")
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
