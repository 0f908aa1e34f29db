"""Commands for the clean-up of the register of persons: run it, work on its queue, count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annul.cli.desk import Repeat
from annul.cli.frame import Exit, Place, Show, Where, print_columns, print_pairs, read_json, takes_groups
from annul.times import now_us

if TYPE_CHECKING:
    from annul.cli.progress import Advance

review_app = typer.Typer(help="Clean-up: suspect wrong, duplicate and false entries, and decide.", no_args_is_help=True)

SuspicionId = Annotated[str, typer.Argument(metavar="SUSPICION", help="Id of the suspicion.")]
DecisionId = Annotated[str, typer.Argument(metavar="DECISION", help="Id of the decision.")]
Grounds = Annotated[str, typer.Option(help="Why; no personal data.")]


@contextlib.contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    from annul.cli.progress import progress

    with progress(what, total, unit) as advance:
        yield advance


@review_app.command("run")
@takes_groups
def review_run(
    home: Place,
    show: Show,
    officer: Annotated[
        str | None, typer.Option("--as", metavar="WHO", help="Who runs it, with ANNUL_KEY or as named in demo.json.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that open records.")] = 2,
    test: Annotated[bool, typer.Option("--test", help="Run over the test data.")] = False,
) -> int:
    """Look over the whole register of persons, on its own machine. Nothing is changed; what is found waits for officers."""
    from annul import keys as key_file
    from annul import supervisor
    from annul.cli.hands import Hands
    from annul.cli.lists import _Nothing
    from annul.registry.parties.parties import Parties
    from annul.registry.review.run import run
    from annul.registry.writing.store import Fresh

    settings = home.settings()
    keys = key_file.load(settings.home)
    with supervisor.open_database(settings) as conninfo:
        act = Hands(Parties(Fresh(conninfo), _Nothing(), now_us), home, test=test).first(officer)
        made = run(conninfo, settings.home, keys, act, now_us, bar=_bar, processes=processes)

    def text() -> None:
        print(f"✔  DONE  {made.persons:,} persons, {made.suspicions:,} suspicions.")
        searched = "not installed" if made.portraits is None else f"{made.portraits:,}"
        print_pairs(
            (
                ("Run", made.id),
                ("New", f"{made.new:,}"),
                ("Asked again", f"{made.again:,}"),
                ("Known", f"{made.known:,}"),
                ("Closed", f"{made.closed:,}"),
                ("Portraits searched", searched),
                ("Took", f"{sum(made.took_s.values()):.1f} s"),
            )
        )
        if made.rules:
            print_columns([[rule, f"{count:,}"] for rule, count in sorted(made.rules.items())], ["rule", "suspicions"])
            print("Next: annul review list")

    show.result(made, text)
    return Exit.DONE


@review_app.command("list")
@takes_groups
def review_list(
    where: Where,
    show: Show,
    cause: Annotated[str, typer.Option(help="wrong, duplicate or false.")] = "",
    rule: Annotated[str, typer.Option(help="One rule, such as check-character.")] = "",
    region: Annotated[str, typer.Option(help="Division code, or its first digits.")] = "",
    state: Annotated[str, typer.Option(help="open, proposed, visit, decided or gone.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    after: Annotated[str, typer.Option(help="Id of the last suspicion of the page before.")] = "",
) -> None:
    """List suspicions, the surest first; no details of persons."""
    wanted = {"cause": cause, "rule": rule, "region": region, "state": state, "limit": limit, "after": after}
    with where.client("issuer") as annul:
        found = annul.connection.get("/v1/review/suspicions", wanted)
    if show.json_wanted:
        show.result(found, "")
        return
    columns = {"id": "suspicion", "cause": "cause", "rules": "rules", "score": "score", "region": "region", "state": "state"}
    show.table(found["suspicions"], columns, empty="No suspicions. They appear here after `annul review run`.")
    if found["after"]:
        print(f"{found['total']:,} in all. Next page: --after {found['after']}")


@review_app.command("show")
@takes_groups
def review_show(
    where: Where,
    show: Show,
    suspicion: SuspicionId,
    case: Annotated[str, typer.Option(help="Reference of the case; each record shown is entered in the log under it.")],
) -> None:
    """Show a suspicion with its records and evidence, for a case."""
    with where.client("issuer") as annul:
        found = annul.connection.post(f"/v1/review/suspicions/{suspicion}/look", {"case": case})
    show.result(found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    about = found["suspicion"]
    print_pairs(
        (
            ("Suspicion", about["id"]),
            ("Cause", about["cause"]),
            ("State", about["state"]),
            ("Score", about["score"]),
            ("Region", about["region"]),
        )
    )
    for each in found["evidence"]:
        told = "; ".join(f"{part['label']}: {part['value']}" for part in each["told"])
        print(f"  {each['rule']}: {each['says']}" + (f" {told}." if told else ""))
    fields = ("personal_number", "sex", "birth_date", "death_date", "status", "place", "mother", "father", "origin")
    people = [record["person"] for record in found["records"]]
    rows = [["names", *(", ".join(name["text"] for name in person["names"]) for person in people)]]
    rows += [[field, *(person.get(field, "") for person in people)] for field in fields if any(p.get(field) for p in people)]
    marked = {field for each in found["evidence"] for field in each["fields"]}
    rows = [[("! " if row[0] in marked else "  ") + row[0], *row[1:]] for row in rows]
    print_columns(rows, ["  field", *(f"record {record['id']}" for record in found["records"])])
    for paper in found["documents"]:
        print(
            f"  document of {paper['person']}: {paper['kind']} {paper['valid_from']} – {paper['valid_until']}, {paper['state']}"
        )
    for each in found["decisions"]:
        print(f"  {each['decided_at']} {each['decision']} ({each['state']}) by {each['decided_by']}: {each['grounds']}")
        print(f"    {each['id']}")


@review_app.command("decide")
@takes_groups
def review_decide(
    where: Where,
    show: Show,
    suspicion: SuspicionId,
    decision: Annotated[
        str,
        typer.Argument(
            metavar="DECISION", help="same_person, different_persons, correct_entry, cancel_entry, needs_visit or in_order."
        ),
    ],
    grounds: Grounds,
    person: Annotated[int | None, typer.Option(help="Record that is kept, corrected or cancelled; else the first.")] = None,
    correction: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON file of what the record shall say, - for standard input.")
    ] = None,
    cancel_documents: Annotated[bool, typer.Option(help="Documents show what was wrong, and no longer count.")] = False,
    idempotency_key: Repeat = None,
) -> None:
    """Decide a suspicion; merges, cancellations and what cancels documents wait for a second officer."""
    body: dict[str, Any] = {"decision": decision, "grounds": grounds, "cancel_documents": cancel_documents}
    if person is not None:
        body["person"] = person
    if correction is not None:
        body["correction"] = read_json(correction)
    _write(where, show, "issuer", f"/v1/review/suspicions/{suspicion}/decide", body, idempotency_key)


def _write(where: Where, show: Show, role: str, address: str, body: dict[str, Any] | None, key: str | None) -> None:
    with where.client(role) as annul:
        made = annul.connection.write(address, body, idempotency_key=key)

    def text() -> None:
        print(f"✔  {made['state'].replace('_', ' ').upper()}")
        print_pairs(
            (("Decision", made["decision"]), ("Suspicion", made["suspicion"]), ("Documents changed", made["documents"] or ""))
        )
        if made["state"] == "waiting":
            print(f"Next: another officer: annul review confirm {made['decision']}")
        elif made["state"] == "in_force":
            print(f"Take back: annul review undo {made['decision']} --grounds …")

    show.result(made, text)


@review_app.command("waiting")
@takes_groups
def review_waiting(where: Where, show: Show) -> None:
    """List decisions that wait for a second officer."""
    with where.client("second_officer") as annul:
        found = annul.connection.get("/v1/review/decisions")["decisions"]
    columns = {"id": "decision", "decision": "what", "suspicion": "suspicion", "decided_by": "by", "grounds": "why"}
    show.table(found, columns, empty="Nothing waits for a second officer.")


@review_app.command("confirm")
@takes_groups
def review_confirm(where: Where, show: Show, decision: DecisionId, idempotency_key: Repeat = None) -> None:
    """Confirm a decision as the second officer; it is carried out."""
    _write(where, show, "second_officer", f"/v1/review/decisions/{decision}/confirm", None, idempotency_key)


@review_app.command("refuse")
@takes_groups
def review_refuse(where: Where, show: Show, decision: DecisionId, grounds: Grounds, idempotency_key: Repeat = None) -> None:
    """Refuse a decision as the second officer; the suspicion is open again."""
    _write(where, show, "second_officer", f"/v1/review/decisions/{decision}/refuse", {"grounds": grounds}, idempotency_key)


@review_app.command("undo")
@takes_groups
def review_undo(where: Where, show: Show, decision: DecisionId, grounds: Grounds, idempotency_key: Repeat = None) -> None:
    """Take a decision back: records say again what they said; documents stay as they are."""
    _write(where, show, "issuer", f"/v1/review/decisions/{decision}/undo", {"grounds": grounds}, idempotency_key)


@review_app.command("figures")
@takes_groups
def review_figures(where: Where, show: Show) -> None:
    """Count suspicions by cause, province and state, decisions, and runs."""
    with where.client("issuer") as annul:
        found = annul.connection.get("/v1/review/figures")

    def text() -> None:
        rows = [[each["cause"], each["region"] or "?", each["state"], f"{each['count']:,}"] for each in found["by_region"]]
        print_columns(rows, ["cause", "province", "state", "suspicions"])
        if found["by_decision"]:
            print_columns([[name, f"{count:,}"] for name, count in found["by_decision"].items()], ["decision", "how many"])
        runs = [
            [
                run["id"],
                run["state"],
                f"{run['persons']:,}",
                f"{run['new'] + run['again']:,}",
                f"{sum(run['took_s'].values()):.1f} s",
            ]
            for run in found["runs"]
        ]
        print_columns(runs, ["run", "state", "persons", "new", "took"])

    show.result(found, text)
