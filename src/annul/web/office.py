"""Name the parts a door needs; `annul.app` fills them in. Doors reach the register only through these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annul.listings.listings import Listings
    from annul.registry.accounts import Accounts
    from annul.registry.bulk import Bulk
    from annul.registry.checks import Checks
    from annul.registry.keys import Keys
    from annul.registry.parties import Parties
    from annul.registry.people.enrolment import Enrolments
    from annul.registry.people.imports import PersonImports
    from annul.registry.people.people import People
    from annul.registry.register import Register
    from annul.registry.verification import Verifications
    from annul.settings import Settings


@dataclass(slots=True)
class Office:
    """Hold the assembled parts of one process.

    Args:
        settings: what the operator chose.
        keys: every secret.
        listings: the table every check looks into (reader).
        pool: database connections; passed on, never used by a door.
        register: reports and the issuer's feed.
        bulk: bulk events.
        parties: relying parties, officers, credentials.
        accounts: who asked what.
        people, enrolments, person_imports: the register of persons.
        checks: the ask path; None outside workers.
        now_us: microseconds since the epoch, UTC.
        verifications: comparison of bearer and holder; None outside workers.
    """

    settings: Settings
    keys: Keys
    listings: Listings
    pool: Any
    register: Register
    bulk: Bulk
    parties: Parties
    accounts: Accounts
    people: People
    enrolments: Enrolments
    person_imports: PersonImports
    checks: Checks | None
    now_us: Callable[[], int]
    verifications: Verifications | None = None
