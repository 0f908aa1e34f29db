"""The command `annul`: everything the API can do, and what an operator does on the machine itself.

Exit codes: 0 done, 1 refused or not verified, 2 wrong usage, 3 not reachable; `annul check` and `annul verify-person` exit 0
PASS, 10 REFER, 11 STOP, 12 NO_ANSWER. Every command takes `--json`. Errors say what and where in one line and the next step in
another, on standard error. This is the only place that raises SystemExit.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import typer

COMMANDS: Final = {
    "demo": "running:demo",
    "serve": "running:serve",
    "setup": "running:setup",
    "check": "checking:check",
    "checks": "checking:checks_app",
    "receipt": "checking:receipt_app",
    "verify-person": "counter:verify_person",
    "read": "counter:read_app",
    "station": "counter:station",
    "report": "desk:report_app",
    "document": "desk:document_app",
    "person": "enrolling:person_app",
    "review": "review:review_app",
    "dispute": "disputes:dispute_app",
    "found": "found:found_app",
    "search": "disputes:search_app",
    "officer": "disputes:officer_app",
    "recall": "disputes:recall_app",
    "subscription": "subscriptions:subscription_app",
    "credential": "credentials:credential_app",
    "misuse": "subscriptions:misuse_app",
    "correction": "desk:correction_app",
    "notices": "notices:notices_app",
    "webhook": "notices:webhook_app",
    "screen": "screening:screen",
    "import": "lists:import_list",
    "bulk": "lists:bulk_app",
    "edition": "editions:edition_app",
    "edge": "editions:edge_app",
    "generate": "lists:generate",
    "log": "proving:log_app",
    "keys": "proving:keys_app",
    "backup": "backups:backup",
    "restore": "backups:restore",
    "witness": "witness:witness_app",
    "party": "parties:party_app",
    "conduct": "conduct:conduct_app",
    "policy": "policy:policy_app",
    "departure": "policy:departure_app",
    "urgent-need": "policy:need_app",
    "doctor": "running:doctor",
    "bench": "running:bench",
    "openapi": "running:openapi",
    "version": "running:version",
    "completion": "groups:completion",
}
"""Command or group -> where it is. Only what is called is loaded, so that commands start quickly."""
COMPLETING: Final = "_ANNUL_COMPLETE"
"""Set by the shell when it asks what may come next."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT. The library of the options leaves with it, too."""


def make_app(only: str | None = None) -> typer.Typer:
    """Put the commands together: all, or the one that is called."""
    import typer

    from annul.cli.groups import Group, root, use_group

    app = typer.Typer(
        name="annul",
        cls=Group,
        help="The open register of identity documents that no longer count.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    app.callback()(root)
    for name in [only] if only in COMMANDS else COMMANDS:
        module, _, member = COMMANDS[name].partition(":")
        found = getattr(import_module(f"annul.cli.{module}"), member)
        if isinstance(found, typer.Typer):
            use_group(found)
            app.add_typer(found, name=name, cls=Group)
        elif name == "bench":
            app.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(found)
        else:
            app.command(name)(found)
    return app


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    from annul.cli.frame import Exit, exit_of, say_error
    from annul.errors import AnnulError, StorageFailed

    name = arguments[0] if arguments else None
    if name in ("--version", "-V"):
        name, arguments = "version", ["version", *arguments[1:]]
    if COMPLETING in os.environ:
        from annul.cli.groups import completed

        name = completed(os.environ)
    try:
        make_app(name)(arguments, prog_name="annul")
    except AnnulError as error:
        code = exit_of(error, checking=name in ("check", "verify-person"))
        say_error(error, as_json="--json" in arguments, no_answer=code == Exit.NO_ANSWER)
        return code
    except Exception as unexpected:
        from annul.extras import missing

        if (lacking := missing(unexpected)) is not None:
            say_error(lacking, as_json="--json" in arguments)
            return exit_of(lacking, checking=False)
        if isinstance(unexpected, OSError) and unexpected.filename is not None:
            mend = "Look who may read and write there, and whether the disk is full."
            failed = StorageFailed(f"A file cannot be used: {unexpected.strerror}.", where=str(unexpected.filename), mend=mend)
            say_error(failed, as_json="--json" in arguments)
            return exit_of(failed, checking=False)
        if os.environ.get("ANNUL_DEBUG"):
            raise
        print(f"annul: something failed on our side ({type(unexpected).__name__}).", file=sys.stderr)
        print("  Run it again with ANNUL_DEBUG=1 to see where, and report that.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(bool(left.code))
    else:
        code = 0
    if code == INTERRUPTED:
        print("Stopped.", file=sys.stderr)
    return code


def main() -> None:
    """Run the command line and leave with its exit code. What it writes is its user's alone."""
    os.umask(0o077)
    raise SystemExit(run(sys.argv[1:]))
