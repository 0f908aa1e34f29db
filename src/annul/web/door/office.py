"""Name the parts a door needs; `annul.app` fills them in. Doors reach the register only through these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annul.times import Clock

if TYPE_CHECKING:
    from annul.listings.listings import Listings
    from annul.registry.accounts.accounts import Accounts
    from annul.registry.accounts.oversight import Oversight
    from annul.registry.answering.checks import Checks
    from annul.registry.answering.principals import Principals
    from annul.registry.citizen.citizens import Citizens
    from annul.registry.citizen.drafts import Drafts
    from annul.registry.citizen.provisional import ProvisionalReports
    from annul.registry.conduct.parts import Conduct
    from annul.registry.counter.departures import Departures
    from annul.registry.counter.verification import Verifications
    from annul.registry.desk.disputes import Disputes
    from annul.registry.desk.found import FoundCards
    from annul.registry.desk.recalls import Recalls
    from annul.registry.desk.searches import Searches
    from annul.registry.editions.tail import Tail
    from annul.registry.editions.verifiers import Verifiers
    from annul.registry.keys import Keys
    from annul.registry.linkage.book import Subscriptions
    from annul.registry.linkage.credentials import Credentials
    from annul.registry.linkage.misuse import Misuse
    from annul.registry.linkage.press import ListPress
    from annul.registry.notices.delivery import Delivery
    from annul.registry.notices.outbox import Outbox
    from annul.registry.notices.undo import Undo
    from annul.registry.notices.webhooks import WebhookBook
    from annul.registry.parties.officers import Officers
    from annul.registry.parties.parties import Parties
    from annul.registry.parties.policies import Policies
    from annul.registry.parties.sessions import SessionBook
    from annul.registry.people.enrolment import Enrolments
    from annul.registry.people.imports import PersonImports
    from annul.registry.people.register import People
    from annul.registry.review.queue import Review
    from annul.registry.writing.bulk import Bulk
    from annul.registry.writing.register import Register
    from annul.registry.writing.uploads import Uploads
    from annul.settings import Settings


@dataclass(slots=True)
class Front:
    """Hold what answers checks; it needs no database.

    Args:
        settings: what the operator chose.
        keys: every secret.
        listings: the table every check looks into (reader).
        parties: relying parties, officers, credentials.
        checks: the ask path; None outside workers.
        now_us: microseconds since the epoch, UTC.
    """

    settings: Settings
    keys: Keys
    listings: Listings
    parties: Principals
    checks: Checks | None
    now_us: Clock


@dataclass(slots=True)
class Office(Front):
    """Hold the assembled parts of one process.

    Args:
        pool: database connections; passed on, never used by a door.
        register: reports and the issuer's feed.
        bulk: bulk events.
        parties: as in `Front`, and their changes.
        accounts: who asked what.
        sessions: which sessions of people hold.
        oversight: the register's health and its figures.
        people, enrolments, person_imports: the register of persons.
        review: the clean-up's queue and its decisions.
        verifications: comparison of bearer and holder; None outside workers.
        officers: who acts for a party, and how they sign in.
        searches, found, disputes, recalls: the desk: searches for a case, found cards, disputed listings, recalled answers.
        uploads: lists that come in through a browser.
        policies, departures: counter policies of relying parties; decisions that departed from an answer, urgent needs.
        conduct: what relying parties owe, did, answer to, and how they do.
        citizens: what people see and do about their own documents.
        provisional, drafts, undo: reports without login, written answer by answer, and the one step that undoes them.
        feed, verifiers: what changes, told live; how far devices have come.
        subscriptions, misuse: what parties have on file, and what they suspect.
        credentials, lists: digital credentials of documents, and the status lists that tell of them.
        login: the relying party of the citizens' identity provider (web.oidc), made when first needed.
        outbox, delivery, webhooks: notices: what was sent, how it reads, where parties are told.
    """

    parties: Parties
    pool: Any
    register: Register
    bulk: Bulk
    accounts: Accounts
    sessions: SessionBook
    oversight: Oversight
    people: People
    enrolments: Enrolments
    person_imports: PersonImports
    review: Review
    policies: Policies
    departures: Departures
    officers: Officers
    searches: Searches
    found: FoundCards
    disputes: Disputes
    recalls: Recalls
    uploads: Uploads
    citizens: Citizens
    provisional: ProvisionalReports
    drafts: Drafts
    conduct: Conduct = field(init=False)
    undo: Undo
    outbox: Outbox
    delivery: Delivery
    webhooks: WebhookBook
    subscriptions: Subscriptions
    misuse: Misuse
    credentials: Credentials
    lists: ListPress
    feed: Tail
    verifiers: Verifiers
    verifications: Verifications | None = None
    login: Any = None
