"""Commands for conduct: reconcile business with checks, findings, scorecards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from annul.cli.frame import Exit, Place, Show, Where, print_pairs, takes_groups
from annul.errors import BadInput
from annul.times import now_us

conduct_app = typer.Typer(help="Conduct: who should have checked, and did.", no_args_is_help=True)

FindingId = Annotated[str, typer.Argument(metavar="FINDING", help="Id of the finding.")]


@conduct_app.command("reconcile")
@takes_groups
def conduct_reconcile(
    home: Place,
    show: Show,
    party: Annotated[str | None, typer.Option(metavar="PARTY", help="Settle this party's business alone.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Settle the test data.")] = False,
) -> int:
    """Lay business events beside checks, on the register's own machine, and open findings for what is not covered."""
    import asyncio

    from annul import keys as key_file
    from annul import supervisor
    from annul.registry.conduct.reconcile import Reconciler
    from annul.registry.writing.ground import Ground
    from annul.registry.writing.store import Fresh

    settings = home.settings()
    keys = key_file.load(settings.home)
    with supervisor.open_database(settings) as conninfo:
        ground = Ground(Fresh(conninfo), keys, settings.home, now_us)
        made = asyncio.run(Reconciler(ground, conninfo).run("test" if test else "live", party=party))

    def text() -> None:
        print(f"✔  DONE  {made.events:,} events beside {made.accounts:,} checks.")
        kinds = ("covered", "late", "unchecked", "departed", "forged")
        print_pairs(
            (
                *((kind.title(), f"{getattr(made, kind):,}") for kind in kinds),
                ("Findings", f"{made.findings:,}"),
                ("Took", f"{made.seconds:.1f} s"),
            )
        )
        if made.findings:
            print("Next: annul conduct findings")

    show.result(made, text)
    return Exit.DONE


@conduct_app.command("send")
@takes_groups
def conduct_send(
    where: Where,
    show: Show,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Business events, one JSON object a line, in order.")],
) -> None:
    """Send business events, as a relying party."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=str(file)) from None
    with where.client("bank") as annul:
        taken = annul.connection.send("/v1/conduct/events", raw, "application/x-ndjson")
    show.result(taken, f"✔  DONE  {taken['events']:,} events taken in.")


@conduct_app.command("findings")
@takes_groups
def conduct_findings(
    where: Where,
    show: Show,
    state: Annotated[str, typer.Option(help="noticed, answered, upheld, appealed, final, dismissed, cleared; all open.")] = "",
    party: Annotated[str, typer.Option(metavar="PARTY", help="One party's, for supervisors.")] = "",
    branch: Annotated[str, typer.Option(help="One branch's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
) -> None:
    """List findings: business without its check. A relying party sees its own."""
    wanted = {"state": state, "party": party, "branch": branch, "limit": limit}
    with where.client("supervisor") as annul:
        found = annul.connection.get("/v1/conduct/findings", wanted)
    columns = {
        "finding": "finding",
        "party": "party",
        "branch": "branch",
        "kind": "kind",
        "open_count": "open",
        "state": "state",
        "due_at": "due",
    }
    show.table(found["findings"], columns, empty="No findings. They appear here after `annul conduct reconcile`.")


@conduct_app.command("finding")
@takes_groups
def conduct_finding(where: Where, show: Show, finding: FindingId) -> None:
    """Show a finding and its events."""
    with where.client("supervisor") as annul:
        found = annul.connection.get(f"/v1/conduct/findings/{finding}")
    if show.json_wanted:
        show.result(found, "")
        return
    print_pairs(tuple((name.replace("_", " ").capitalize(), str(value)) for name, value in found["finding"].items() if value))
    columns = {"reference": "reference", "happened_at": "happened", "business": "business", "check": "check"}
    show.table(found["events"], columns, empty="No events.")


@conduct_app.command("decide")
@takes_groups
def conduct_decide(
    where: Where,
    show: Show,
    finding: FindingId,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="upheld or dismissed.")],
    reason: Annotated[str, typer.Option(help="Why; no personal data.")],
) -> None:
    """Decide a finding, or the appeal against its decision, as a supervisor."""
    with where.client("supervisor") as annul:
        moved = annul.connection.post(f"/v1/conduct/findings/{finding}/decide", {"decision": decision, "reason": reason})
    show.result(moved, lambda: _moved(moved))


def _moved(moved: dict[str, Any]) -> None:
    print(f"✔  DONE  {moved['finding']} is {moved['state']}; open events: {moved['open_count']:,}.")


@conduct_app.command("scorecard")
@takes_groups
def conduct_scorecard(
    where: Where,
    show: Show,
    level: Annotated[str, typer.Option(help="organisation, branch or terminal.")] = "branch",
    party: Annotated[str, typer.Option(metavar="PARTY", help="One party's, for supervisors.")] = "",
    branch: Annotated[str, typer.Option(help="One branch's.")] = "",
    days: Annotated[int, typer.Option(min=1, max=400)] = 30,
) -> None:
    """Show how many events were covered, beside the limits that chance gives so many; nobody is ranked."""
    wanted = {"level": level, "party": party, "branch": branch, "days": days}
    with where.client("supervisor") as annul:
        made = annul.connection.get("/v1/conduct/scorecard", wanted)
    if show.json_wanted:
        show.result(made, "")
        return
    print(f"Covered in all: {made['target']:.2%}. Places vary {made['dispersion']:.2f} times as chance does.")
    rows = [
        {
            "party": place["party"],
            "branch": place["branch"],
            "terminal": place["terminal"],
            "events": f"{place['events']:,}",
            "share": f"{place['share']:.2%}",
            "limits": f"{place['low']:.2%} to {place['high']:.2%}",
            "judged": place["judged"].replace("_", " "),
        }
        for place in made["places"]
    ]
    columns = {name: name for name in ("party", "branch", "terminal", "events", "share", "limits", "judged")}
    show.table(rows, columns, empty="No events yet.")
