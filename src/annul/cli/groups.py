"""How groups of commands show themselves: whole summaries, however narrow the terminal; and what a shell completes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from annul.cli.frame import Show, takes_groups

SUMMARY_MAX_CHARS: Final = 1000
"""No summary is cut: lines are folded instead."""


class Group(TyperGroup):
    """A group whose list of commands tells each summary to its end."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(SUMMARY_MAX_CHARS)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def use_group(app: typer.Typer) -> None:
    """Let every group inside show itself like that."""
    for inner in app.registered_groups:
        inner.cls = Group
        if inner.typer_instance is not None:
            use_group(inner.typer_instance)


def root(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False,
) -> None:
    """Keep `annul NAME` a subcommand even when only one is loaded; `run` has turned --version into the command before."""


class Shell(enum.StrEnum):
    """Shells that can be told."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@takes_groups
def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")], show: Show) -> None:
    """Print the script that lets a shell complete commands and options: eval "$(annul completion bash)"."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    from annul.cli import COMPLETING

    script = get_completion_script(prog_name="annul", complete_var=COMPLETING, shell=shell.value)
    show.result({"shell": shell.value, "script": script}, script)


def completed(environ: Mapping[str, str]) -> str | None:
    """Make ready to answer a shell; return the command it is about: no other is loaded. None: not whole yet."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    from annul.cli import COMMANDS

    completion_init()
    words = (environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    return words[1] if len(words) > 2 and words[1] in COMMANDS else None
