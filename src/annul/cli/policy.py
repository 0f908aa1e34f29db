"""Commands of a relying party's officer: the counter policy, departures, urgent needs."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from annul.cli.frame import Show, Where, print_pairs, read_json, takes_groups
from annul.errors import BadInput

policy_app = typer.Typer(no_args_is_help=True, help="Your counter policy: what an answer leads to at your counters.")
departure_app = typer.Typer(no_args_is_help=True, help="Decisions that were not the ones an answer advised.")
need_app = typer.Typer(no_args_is_help=True, help="Urgent needs that were served until the new card is shown.")

Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, max=65535, help="Number of the version.")]


@policy_app.command("list")
@takes_groups
def policy_list(where: Where, show: Show) -> None:
    """List the versions of your policy."""
    with where.client("bank") as annul:
        book = annul.connection.get("/v1/policies")
    if show.json_wanted:
        show.result(book, "")
        return
    rows = [
        {
            "version": each["version"],
            "state": each["state"],
            "in_force": "in force" if each["in_force"] else "",
            "name": each["policy"]["name"],
            "by": each["released_by"] or each["edited_by"],
            "at": each["released_at"] or each["edited_at"],
            "note": each["note"],
        }
        for each in book["versions"]
    ]
    columns = {"version": "version", "state": "state", "in_force": "", "name": "name", "by": "by", "at": "at", "note": "note"}
    show.table(rows, columns, empty="")


@policy_app.command("show")
@takes_groups
def policy_show(
    where: Where,
    show: Show,
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="Else the one in force.")] = None,
) -> None:
    """Print a version as JSON: edit it, and save it with `annul policy draft`."""
    with where.client("bank") as annul:
        number = version or annul.connection.get("/v1/policies")["in_force"]
        found = annul.connection.get(f"/v1/policies/{number}")
    show.result(found, lambda: print(json.dumps(found["policy"], indent=2)))


@policy_app.command("draft")
@takes_groups
def policy_draft(
    where: Where,
    show: Show,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON of the policy; - for standard input.")],
    note: Annotated[str, typer.Option(help="What is changed.")] = "",
) -> None:
    """Save the draft of your policy; the register gives its version."""
    value = read_json(file)
    if not isinstance(value, dict):
        raise BadInput("The file does not hold a policy.", where=file)
    with where.client("bank") as annul:
        book = annul.connection.get("/v1/policies")
        revision = next((each["revision"] for each in book["versions"] if each["state"] == "draft"), 0)
        body = {"policy": value | {"version": 1}, "revision": revision, "note": note}
        saved = annul.connection.write("/v1/policies/draft", body)
    number = saved["version"]
    text = f"✔  SAVED  Draft {number}, revision {saved['revision']}.\nNext: annul policy try {number}"
    show.result(saved, text)


@policy_app.command("diff")
@takes_groups
def policy_diff(
    where: Where,
    show: Show,
    version: Version,
    old: Annotated[int, typer.Option("--with", min=0, help="Version to compare with; else the one in force.")] = 0,
) -> None:
    """Say in what a version differs from another."""
    with where.client("bank") as annul:
        found = annul.connection.get(f"/v1/policies/{version}/differences", {"old": old})
    rows = [{"where": each["where"], "old": _short(each["old"]), "new": _short(each["new"])} for each in found["differences"]]
    show.table(rows, {"where": "where", "old": f"version {found['old']}", "new": f"version {version}"}, empty="No difference.")


@policy_app.command("try")
@takes_groups
def policy_try(
    where: Where,
    show: Show,
    version: Version,
    days: Annotated[int, typer.Option(min=1, max=31, help="Days to look back.")] = 31,
) -> None:
    """Try a version on your own checks of last month. Nothing is changed."""
    with where.client("bank") as annul:
        found = annul.connection.post(f"/v1/policies/{version}/trial", {"days": days})
    if show.json_wanted:
        show.result(found, "")
        return
    print_pairs(
        (
            ("Checks", str(found["checks"])),
            ("From", found["since"]),
            ("Until", found["until"]),
            ("Other outcome", str(found["changed_outcomes"])),
            ("Other next step", str(found["changed_advice"])),
        )
    )
    rows = [
        {
            "count": each["count"],
            "old": each["old"],
            "new": each["new"],
            "steps": " ".join(each["new_advice"]),
            "codes": " ".join((each["status"], each["identity"], each["binding"], each["channel"])),
            "samples": " ".join(each["samples"][:1]),
        }
        for each in found["shifts"]
    ]
    columns = {"count": "checks", "old": "was", "new": "would be", "steps": "next", "codes": "codes", "samples": "one of them"}
    show.table(rows, columns, empty="Nothing would have been different.")


@policy_app.command("release")
@takes_groups
def policy_release(
    where: Where, show: Show, version: Version, reason: Annotated[str, typer.Option(help="Why, for the history.")] = ""
) -> None:
    """Put the draft in force. Where your organisation wants a second person, use another key than its editor."""
    with where.client("bank") as annul:
        draft = annul.connection.get(f"/v1/policies/{version}")
        body = {"revision": draft["revision"] or 1, "reason": reason}
        changed = annul.connection.write(f"/v1/policies/{version}/release", body)
    show.result(changed, f"✔  RELEASED  Version {changed['in_force']} is in force from position {changed['position']} on.")


_ASKED: Final = (
    "‖  ASKED  Nothing has changed yet: your organisation wants two persons for this.\n"
    "Next: a colleague, with another key, gives the same command within a day."
)


@policy_app.command("roll-back")
@takes_groups
def policy_roll_back(
    where: Where, show: Show, version: Version, reason: Annotated[str, typer.Option(help="Why, for the history.")]
) -> None:
    """Put an older version in force again; 1 is the register's default."""
    with where.client("bank") as annul:
        changed = annul.connection.write(f"/v1/policies/{version}/roll-back", {"reason": reason})
    done = f"✔  BACK  Version {changed['in_force']} is in force from position {changed['position']} on."
    show.result(changed, _ASKED if changed["waits"] else done)


@policy_app.command("discard")
@takes_groups
def policy_discard(where: Where, show: Show, version: Version) -> None:
    """Discard the draft."""
    with where.client("bank") as annul:
        left = annul.connection.write(f"/v1/policies/{version}/discard", {})
    show.result(left, f"✔  DISCARDED  Draft {version}.")


@policy_app.command("two-persons")
@takes_groups
def policy_two_persons(
    where: Where, show: Show, wanted: Annotated[bool, typer.Argument(metavar="true|false", help="Whether it is wanted.")]
) -> None:
    """Say whether a draft must be released by somebody else than its editor."""
    with where.client("bank") as annul:
        changed = annul.connection.write("/v1/policies/two-persons", {"wanted": wanted})
    done = f"✔  RECORDED  A second person {'releases' if wanted else 'is not needed'}."
    show.result(changed, _ASKED if changed["waits"] else done)


@departure_app.command("record")
@takes_groups
def departure_record(
    where: Where,
    show: Show,
    check: Annotated[str, typer.Argument(metavar="CHECK", help="Id of the check, 32 hex digits.")],
    decision: Annotated[str, typer.Option(help="proceeded or refused.")],
    reason: Annotated[str, typer.Option(help="Code of the reason, such as issuer-confirmed; `other` needs --words.")],
    words: Annotated[str, typer.Option(help="The reason in words, without numbers.")] = "",
    branch: Annotated[str, typer.Option(help="Branch.")] = "",
    clerk: Annotated[str, typer.Option(help="Staff number.")] = "",
) -> None:
    """Record a decision that was not the one the answer advised."""
    body = {"check": check, "decision": decision, "reason": reason, "words": words, "branch": branch, "clerk": clerk}
    with where.client("bank") as annul:
        made = annul.connection.write("/v1/departures", body)
    show.result(made, f"✔  RECORDED  Departure {made['departure']}.")


@departure_app.command("list")
@takes_groups
def departure_list(
    where: Where, show: Show, limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at most.")] = 100
) -> None:
    """List decisions that were not the ones advised, newest first."""
    with where.client("bank") as annul:
        rows = annul.connection.get("/v1/departures", {"limit": limit})["departures"]
    columns = {
        "decided_at": "decided",
        "outcome": "answer",
        "decision": "decision",
        "reason": "reason",
        "words": "words",
        "branch": "branch",
        "clerk": "clerk",
        "check": "check",
    }
    show.table(rows, columns, empty="No departures. Clerks did what the answers advised.")


@need_app.command("list")
@takes_groups
def need_list(
    where: Where,
    show: Show,
    state: Annotated[str | None, typer.Option(help="open, overdue or settled; else all.")] = None,
) -> None:
    """List urgent needs, those due first at the top."""
    query: dict[str, Any] = {"state": state} if state else {}
    with where.client("bank") as annul:
        rows = annul.connection.get("/v1/urgent-needs", query)["needs"]
    columns = {
        "id": "id",
        "state": "state",
        "due_at": "new card due",
        "opened_at": "served",
        "reference": "reference",
        "branch": "branch",
        "clerk": "clerk",
    }
    show.table(rows, columns, empty="No urgent needs.")


@need_app.command("serve")
@takes_groups
def need_serve(
    where: Where,
    show: Show,
    check: Annotated[str, typer.Argument(metavar="CHECK", help="Id of the check, 32 hex digits.")],
    words: Annotated[str, typer.Option(help="What the need is, without numbers.")],
    matches: Annotated[bool, typer.Option("--matches", help="Name and number match.")] = False,
    genuine: Annotated[bool, typer.Option("--genuine", help="The card is genuine.")] = False,
    unexpired: Annotated[bool, typer.Option("--unexpired", help="The card has not expired.")] = False,
    reference: Annotated[str, typer.Option(help="Your reference of the customer.")] = "",
    branch: Annotated[str, typer.Option(help="Branch.")] = "",
    clerk: Annotated[str, typer.Option(help="Staff number.")] = "",
) -> None:
    """Record that a holder in urgent need is served; the new card is to be shown within a month."""
    body = {
        "check": check,
        "words": words,
        "reference": reference,
        "branch": branch,
        "clerk": clerk,
        "confirmed": {"name_and_number_match": matches, "genuine": genuine, "unexpired": unexpired},
    }
    with where.client("bank") as annul:
        made = annul.connection.write("/v1/urgent-needs", body)
    show.result(made, f"✔  RECORDED  Follow-up {made['need']}: the new card is to be shown by {made['due_at']}.")


@need_app.command("shown")
@takes_groups
def need_shown(
    where: Where,
    show: Show,
    need: Annotated[str, typer.Argument(metavar="NEED", help="Id of the follow-up.")],
    check: Annotated[str, typer.Option(help="Id of the check of the new document.")],
) -> None:
    """Settle a follow-up with the check of the holder's new document."""
    with where.client("bank") as annul:
        settled = annul.connection.write(f"/v1/urgent-needs/{need}/shown", {"check": check})
    show.result(settled, f"✔  SETTLED  The new card was shown at {settled['shown_at']}.")


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
