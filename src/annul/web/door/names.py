"""Name organisations and officers: one name each, wherever people read. Ids are for programs.

named = await names_of(office, (line.author for line in lines), translate)
named("police-desk/0417")      # A. Okafor (0417), Police of Utopia
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from annul.registry.notices.sources import HOLDER, PUBLIC
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.office import Front, Office

Named = Callable[[str], str]

NOBODY: Final = {
    HOLDER: _("the holder"),
    PUBLIC: _("somebody who did not sign in"),
    "annul": _("the register itself"),
    "operator": _("the register's operator"),
}
"""Authors who are no office."""
_OFFICER: Final = _("%(name)s (%(staff)s), %(party)s")


async def names_of(office: Office, ids: Iterable[str | None], translate: Named, *, officers: bool = True) -> Named:
    """Return what gives the name of an author or a party.

    Args:
        ids: every id that will be asked for; None and "" are passed over.
        translate: the catalogue of the page.
        officers: name the officer as well; holders read the organisation alone.

    Returns:
        A function of the id. What is no party's id (a place typed at the desk) is its own name.
    """
    wanted = {one for one in ids if one}
    known = await office.officers.named(wanted) if wanted else {}

    def named(one: str) -> str:
        if one in NOBODY:
            return translate(NOBODY[one])
        party, officer = known.get(one, (one, ""))
        if not officers or not officer:
            return party
        return translate(_OFFICER) % {"name": officer, "staff": one.partition("/")[2], "party": party}

    return named


def organisation(office: Front, party: str) -> str:
    """Return the name of a party without the database: what a receipt's reader sees. An id that is gone is its own name."""
    found = office.parties.snapshot.by_party.get(party)
    return (found.organisation or found.name) if found is not None else party
