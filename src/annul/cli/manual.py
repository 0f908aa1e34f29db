"""Write docs/cli.md from the commands' own help: `python -m annul.cli.manual > docs/cli.md`. A test holds the two the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

WIDTH: Final = 100
_INTRODUCTION: Final = """\
# The command line

Made from the commands' own help by `python -m annul.cli.manual > docs/cli.md`.

`annul` does everything the API can do, and what an operator does on the machine itself. Every command takes `--json`.
Commands that call a server take `--url` and `--key`, or `ANNUL_URL` and `ANNUL_KEY`, or else the credential that fits the
command from `demo.json` in the data folder (`ANNUL_HOME`, by default `.annul`); `--as` names another one.

A document is named by its fields (`--scheme`, `--number`, …), by a JSON file (`--document FILE`, `-` for standard input), or
by a sample of the demo (`--sample S10`). A number on the command line stays in the shell's history and shows in the list of
processes: leave `--number` out, or write `-`, and it is asked for.

| exit code | means |
|---|---|
| 0 | done; `annul check`, `annul verify-person`: PASS |
| 1 | refused, or not verified |
| 2 | wrong usage |
| 3 | the server cannot be reached |
| 10, 11, 12 | `annul check`, `annul verify-person`: REFER, STOP, NO_ANSWER |

Errors say what and where in one line and the next step in another, on standard error.
"""


def manual() -> str:
    """Return the whole page."""
    from typer.main import get_command

    from annul.cli import make_app

    root = get_command(make_app())
    parts = [_INTRODUCTION]
    for path, command in _walk(root, ("annul",)):
        context = command.context_class(command, info_name=" ".join(path), terminal_width=WIDTH)
        context.help_option_names = ["-h", "--help"]
        text = "\n".join(line.rstrip() for line in command.get_help(context).rstrip().splitlines())
        parts.append(f"## {' '.join(path)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, (*path, name))


if __name__ == "__main__":
    print(manual(), end="")
