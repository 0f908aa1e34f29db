"""Write docs/cli.md from the commands' own help: `python -m annul.cli.manual > docs/cli.md`. A test holds the two the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

WIDTH: Final = 100

ROUTE_COMMANDS: Final = {
    "POST /v1/conduct/events": "conduct send",
    "GET /v1/conduct/findings": "conduct findings",
    "GET /v1/conduct/findings/{finding}": "conduct finding",
    "POST /v1/conduct/findings/{finding}/decide": "conduct decide",
    "GET /v1/conduct/scorecard": "conduct scorecard",
    "POST /v1/entries/{position}/erase": "log erase",
    "POST /v1/checks": "check",
    "POST /v1/checks/batch": "checks ask",
    "GET /v1/checks": "checks list",
    "GET /v1/checks/{check}": "checks show",
    "POST /v1/checks/{check}/photo": "checks photo",
    "POST /v1/verifications": "verify-person",
    "POST /v1/reports": "report lost, report stolen, report found",
    "GET /v1/reports/{id}": "report show",
    "POST /v1/reports/{id}/confirm": "report confirm",
    "POST /v1/reports/{id}/lift": "report lift",
    "POST /v1/reports/{id}/withdraw": "report withdraw",
    "POST /v1/reports/{id}/erase": "report erase",
    "POST /v1/reports/{id}/reporter": "report reporter",
    "POST /v1/documents": "document issue, document replace, document cancel, document revoke, document compromise, "
    "document blank-stolen, document surrender, document destroy, document return, document lock, document unlock",
    "POST /v1/documents/status": "document status, document history",
    "POST /v1/documents/checks": "checks about",
    "POST /v1/persons/death": "person death",
    "POST /v1/disputes": "dispute open, dispute close",
    "POST /v1/persons": "person add",
    "POST /v1/persons/find": "person show",
    "POST /v1/persons/events": "person rename, person marry, person emigrate, person correct-number, person contacts, "
    "person report-death",
    "GET /v1/persons/{id}/past": "person past",
    "POST /v1/persons/{id}/revert": "person revert",
    "POST /v1/persons/{id}/erase": "person erase",
    "GET /v1/persons/deaths/{death}": "person death-state",
    "POST /v1/persons/deaths/{death}/appeal": "person appeal",
    "POST /v1/persons/enrolments": "person enrol",
    "POST /v1/persons/enrolments/list": "person enrolled",
    "POST /v1/persons/enrolments/withdraw": "person withdraw",
    "GET /v1/persons/imports": "person imports",
    "GET /v1/persons/imports/{id}": "person imports",
    "POST /v1/persons/imports/{id}/confirm": "person confirm",
    "POST /v1/persons/imports/{id}/undo": "person undo",
    "POST /v1/persons/imports/{id}/discard": "person discard",
    "GET /v1/bulk": "bulk list",
    "GET /v1/bulk/{id}": "bulk show",
    "POST /v1/bulk/{id}/confirm": "bulk confirm",
    "POST /v1/bulk/{id}/undo": "bulk undo",
    "POST /v1/bulk/{id}/discard": "bulk discard",
    "GET /v1/log/{log}/checkpoint": "log checkpoint",
    "GET /v1/log/{log}/proof": "log prove",
    "GET /v1/log/{log}/consistency": "log compare, log consistency",
    "GET /v1/keys": "keys show",
    "POST /v1/receipts/verify": "receipt verify",
    "GET /v1/parties": "party list",
    "POST /v1/parties": "party add",
    "POST /v1/parties/{id}/keys": "party key issue",
    "POST /v1/parties/{id}/agreement": "party agree",
    "POST /v1/parties/{id}/client-keys": "party key client",
    "GET /v1/parties/{id}/client-keys": "party key clients",
    "GET /v1/client-keys": "party key clients",
    "POST /v1/parties/{id}/client-keys/add": "party key client-add",
    "POST /v1/parties/{id}/client-keys/{kid}/remove": "party key client-remove",
    "GET /v1/codes": "keys codes",
    "POST /v1/parties/{id}/suspend": "party suspend",
    "POST /v1/parties/{id}/restore": "party restore",
    "POST /v1/keys/{key}/revoke": "party key revoke",
    "GET /openapi.json": "openapi",
    "GET /v1/webhooks": "webhook list",
    "POST /v1/webhooks": "webhook add",
    "POST /v1/webhooks/{webhook}/pause": "webhook pause",
    "POST /v1/webhooks/{webhook}/resume": "webhook resume",
    "POST /v1/webhooks/{webhook}/end": "webhook end",
    "GET /v1/attempts/denied": "notices denied",
    "POST /v1/notices/holds": "notices hold",
    "POST /v1/notices/holds/{hold}/release": "notices release",
    "GET /v1/notices/undelivered": "notices count",
    "GET /v1/policies": "policy list",
    "GET /v1/policies/{version}": "policy show",
    "POST /v1/policies/draft": "policy draft",
    "GET /v1/policies/{version}/differences": "policy diff",
    "POST /v1/policies/{version}/trial": "policy try",
    "POST /v1/policies/{version}/discard": "policy discard",
    "POST /v1/policies/{version}/release": "policy release",
    "POST /v1/policies/{version}/roll-back": "policy roll-back",
    "POST /v1/policies/two-persons": "policy two-persons",
    "POST /v1/departures": "departure record",
    "GET /v1/departures": "departure list",
    "POST /v1/urgent-needs": "urgent-need serve",
    "GET /v1/urgent-needs": "urgent-need list",
    "POST /v1/urgent-needs/{id}/shown": "urgent-need shown",
    "POST /v1/corrections": "correction propose",
    "GET /v1/corrections/{id}": "correction show",
    "POST /v1/corrections/{id}/confirm": "correction confirm",
    "POST /v1/corrections/{id}/refuse": "correction refuse",
    "GET /v1/review/suspicions": "review list",
    "POST /v1/review/suspicions/{id}/look": "review show",
    "POST /v1/review/suspicions/{id}/decide": "review decide",
    "GET /v1/review/decisions": "review waiting",
    "POST /v1/review/decisions/{decision}/confirm": "review confirm",
    "POST /v1/review/decisions/{decision}/refuse": "review refuse",
    "POST /v1/review/decisions/{decision}/undo": "review undo",
    "GET /v1/review/figures": "review figures",
    "GET /v1/found/points": "found points",
    "POST /v1/found/points": "found point",
    "GET /v1/found": "found list",
    "POST /v1/found": "found accept",
    "GET /v1/found/{card}": "found show",
    "POST /v1/found/{card}/hand-over": "found hand-over",
    "POST /v1/found/{card}/hand-out": "found hand-out",
    "POST /v1/found/{card}/destroy": "found destroy",
    "GET /v1/disputes": "dispute list",
    "POST /v1/disputes/raise": "dispute raise",
    "GET /v1/disputes/{dispute}": "dispute show",
    "POST /v1/disputes/{dispute}/mark": "dispute mark",
    "POST /v1/disputes/{dispute}/notes": "dispute note",
    "POST /v1/disputes/{dispute}/decide": "dispute decide",
    "POST /v1/searches": "search document",
    "GET /v1/searches": "search list",
    "GET /v1/officers": "officer list",
    "POST /v1/officers": "officer add",
    "POST /v1/officers/{party}/{staff}": "officer change",
    "GET /v1/recalls": "recall list",
    "POST /v1/credentials": "credential attach",
    "POST /v1/credentials/of": "credential list",
    "POST /v1/credentials/{credential}": "credential state",
    "GET /v1/subscriptions/parameters": "subscription add",
    "POST /v1/subscriptions/blind": "subscription add",
    "POST /v1/subscriptions": "subscription add",
    "GET /v1/subscriptions/events": "subscription events",
    "POST /v1/subscriptions/acknowledgements": "subscription acknowledge",
    "GET /v1/subscriptions/changes": "subscription screen",
    "GET /v1/subscriptions/standing": "subscription standing",
    "POST /v1/misuse": "misuse state",
    "GET /v1/misuse": "misuse list",
    "GET /v1/editions": "edge sync",
    "GET /v1/editions/{id}/manifest": "edge sync",
    "GET /v1/editions/{id}/{file}": "edge sync",
    "GET /v1/feed/heartbeat": "edge sync",
    "GET /v1/feed": "edge follow",
    "GET /v1/feed/{from}": "edge follow",
    "GET /v1/verifiers": "edition devices",
    "POST /v1/feed/acknowledgements": "edge follow",
    "POST /v1/editions/journals": "edge upload",
    "POST /v1/recalls/{recall}/acknowledge": "recall acknowledge",
}
"""Route of the API -> the commands that do the same."""

ROUTES_WITHOUT: Final = {
    "POST /v1/verifications/challenges": "the bearer acts before a live camera: the counter page shows what to do",
    "GET /v1/log/{log}/tile/{path:path}": "static files for monitors; `annul log verify` re-reads all of them on the machine",
    "GET /v1/log/{log}/tile/entries/{path:path}": "as above",
    "POST /v1/oauth/token": "commands sign in by API key; programs get tokens by their OAuth library",
    "GET /.well-known/oauth-authorization-server": "as above",
    "POST /v1/peers/mosip/block": "for systems that speak MOSIP's hotlist; `annul report lost` does the same",
    "POST /v1/peers/mosip/unblock": "as above; `annul report lift`",
    "POST /v1/peers/mosip/status": "as above; `annul check`",
    "POST /v1/peers/dvs": "for systems that read DVS's answers; `annul check` says more",
    "GET /v1/peers/crl": "for systems that load plain lists; `annul subscription screen` compares",
    "GET /v1/statuslists": "for wallets and verifiers: their own libraries fetch and verify lists",
    "GET /v1/statuslists/{id}": "as above",
    "GET /v1/statuslists/keys": "as above",
    "GET /v1/cases": "cases are heard in their offices' programs: a person accused does not belong in a shell's history",
    **dict.fromkeys(
        (
            "POST /v1/cases",
            "GET /v1/cases/{case}",
            *(f"POST /v1/cases/{{case}}/{step}" for step in ("evidence", "take-up", "propose", "decide", "appeal")),
            "POST /v1/impostors/ask",
            "GET /v1/impostors/uses",
            *(f"POST /v1/victims/passes{act}" for act in ("", "/show", "/revoke")),
        ),
        "as above",
    ),
    "GET /v1/conduct/alarms": "an alarm is about a person at work: for programs of those who decide it",
    "POST /v1/conduct/alarms/{alarm}/decide": "as above",
    "GET /v1/conduct/duties": "duties are agreed with the agreement, by programs of the supervisor",
    "POST /v1/conduct/duties": "as above",
    "POST /v1/conduct/keys": "for the program that makes the keys of events, before it writes the file",
    "POST /v1/conduct/findings/{finding}/answer": "for the party's own programs",
    "POST /v1/conduct/findings/{finding}/appeal": "as above",
    "GET /healthz": "`annul doctor` asks more",
    "GET /readyz": "`annul doctor` asks it",
    "GET /metrics": "for Prometheus",
}
"""Route of the API without a command -> why."""
_INTRODUCTION: Final = """\
# The command line

Made from the commands' own help by `python -m annul.cli.manual > docs/cli.md`.

`annul` does everything the API can do, and what an operator does on the machine itself. Every command takes `--json`.
Commands that call a server take `--url` and `--key`, or `ANNUL_URL` and `ANNUL_KEY`, or else the credential that fits the
command from `demo.json` in the data folder (`ANNUL_HOME`, by default `.annul`); `--as` names another one.

A document is named by its fields (`--scheme`, `--number`, …), by its machine-readable zone (`--zone FILE`), by a JSON file
(`--document FILE`, `-` for standard input), or by a sample of the demo (`--sample S10`). A number on the command line stays in
the shell's history and shows in the list of processes: leave `--number` out, or write `-`, and it is asked for.

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
    return "\n".join([*parts, _routes()])


def _routes() -> str:
    lines = ["## Routes of the API and their commands", "", "| route | command |", "|---|---|"]
    lines += [
        f"| `{route}` | {', '.join(f'`annul {name}`' for name in names.split(', '))} |"
        for route, names in ROUTE_COMMANDS.items()
    ]
    lines += [f"| `{route}` | none: {why} |" for route, why in ROUTES_WITHOUT.items()]
    return "\n".join(lines) + "\n"


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, (*path, name))


if __name__ == "__main__":
    print(manual(), end="")
