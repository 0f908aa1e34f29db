"""Screen files: `annul screen FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annul.cli.frame import Exit, Place, Show, print_pairs, takes_groups

if TYPE_CHECKING:
    from annul.registry.answering.principals import Principal, Principals
    from annul.registry.answering.screening.screening import Screened

SCREENED_BY = "@operator"
"""The party under which the operator's own screenings stand; no party can have this name."""


@takes_groups
def screen(
    home: Place,
    show: Show,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The documents: .csv, .ndjson, .parquet or .arrow.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the results go (.csv); else beside the file.")] = None,
    party: Annotated[
        str | None, typer.Option(metavar="ID", help="For which party: its agreement and policy hold; else the operator.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="Why; must be within the party's agreement.")] = "other-by-law",
    channel: Annotated[str, typer.Option(help="in_person or remote.")] = "remote",
) -> int:
    """Screen a file of documents on the register's own machine: a result for every line, one receipt for the file.

    Every line is answered and accounted for as a single check. An interrupted screening of the same file goes on where it
    stopped.
    """
    from annul import keys as key_file
    from annul.cli.progress import progress
    from annul.listings.listings import Listings
    from annul.registry.answering.principals import Principals
    from annul.registry.answering.screening.screening import Office, Screening
    from annul.times import now_us

    folder = home.settings().home
    listings = Listings(folder.listings)
    people = Listings(folder.people)
    principal = _principal(party, Principals(listings, now_us))
    results = file.with_name(f"{file.stem}.screened.csv") if out is None else out
    office = Office(folder, key_file.load(folder), listings, people, now_us)
    screening = Screening(office, principal, file, results, purpose=purpose, channel=channel)
    with progress(f"Screening {file.name}", None, "documents") as advance:
        before = 0

        def moved(_share: float, lines: int) -> None:
            nonlocal before
            advance(lines - before)
            before = lines

        made = screening.run(moved)
    show.result(made, lambda: _print(made))
    return Exit.DONE


def _principal(party: str | None, principals: Principals) -> Principal:
    from annul.records.codes import Purpose
    from annul.registry.answering.principals import Agreement, Principal

    if party is not None:
        return principals.principal_of_party(party)
    agreement = Agreement(purposes=frozenset(purpose.value for purpose in Purpose), reasons_allowed=True, identity_allowed=True)
    return Principal(SCREENED_BY, "Operator", "supervisor", "live", agreement)


def _print(made: Screened) -> None:
    print(f"✔  {made.documents:,} documents screened in {made.seconds:.1f} s: {made.listed:,} listed.")
    print_pairs(
        (
            ("Results", made.results),
            ("Bad lines", f"{made.bad:,}" if made.bad else ""),
            ("Position", f"{made.position:,}"),
        )
    )
    print()
    print(made.receipt, end="")
