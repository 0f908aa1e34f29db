"""Errors are written for people: every sentence of the tree begins with a capital and ends with a full stop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from annul import errors

ROOT = Path(errors.__file__).parent
RAISED = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every message and next step that a file gives to an error; what is put in shows as `…`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name not in RAISED:
            continue
        for given in [*node.args[:1], *(word.value for word in node.keywords if word.arg == "mend")]:
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value:
                yield given.lineno, given.value
            elif isinstance(given, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in given.values]
                yield given.lineno, "".join(parts)


def test_every_message_is_a_sentence() -> None:
    """A capital (or a value, or the command's own name) at the beginning, a full stop or a command at the end."""
    wrong = []
    count = 0
    for file in sorted(ROOT.rglob("*.py")):
        for line, text in sentences(file):
            count += 1
            begins = text[0] == "…" or not text[0].islower() or text.startswith("annul ")
            ends = text.rstrip()[-1] in ".?!…" or ": " in text
            command = text.startswith(("pip ", "apt-get ", "https://"))
            if not ((begins and ends) or command):
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {text}")
    assert wrong == []
    assert count > 500
