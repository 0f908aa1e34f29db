"""Conduct: duties, business events, findings; cases of misuse, the impostor list, victims' passes; alarms."""

from alembic import op

revision = "0015"
down_revision = "0014"

SQL = """
-- What a relying party owes: which business needs which check, by when. A change is a new version; the old one stays.
CREATE TABLE conduct_duty (
    party           text NOT NULL REFERENCES principal,
    business        text NOT NULL,
    version         integer NOT NULL CHECK (version >= 1),
    purposes        text[] NOT NULL,
    before_us       bigint NOT NULL CHECK (before_us > 0),
    late_us         bigint NOT NULL CHECK (late_us >= 0),
    comparison      boolean NOT NULL,
    in_force        boolean NOT NULL,
    author          text NOT NULL,
    since_us        bigint NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (party, business, version)
);

-- Business that was done: the party's own reference, and the document under its keys. No person, no number.
CREATE TABLE business_event (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm           smallint NOT NULL,
    party           text NOT NULL REFERENCES principal,
    reference       text NOT NULL,
    happened_at_us  bigint NOT NULL,
    business        text NOT NULL,
    duty            integer NOT NULL,
    branch          text NOT NULL,
    terminal        text NOT NULL,
    document_key    bytea NOT NULL CHECK (length(document_key) = 16),
    number_key      bytea NOT NULL CHECK (length(number_key) = 16),
    key_epoch       smallint NOT NULL,
    shown           bytea NOT NULL CHECK (length(shown) = 16),
    received_at_us  bigint NOT NULL,
    UNIQUE (realm, party, reference)
);
CREATE INDEX business_event_time ON business_event (realm, party, happened_at_us);

-- Up to when nothing more is taken in from a party, and up to when its events are settled: a run closes first, then reads.
CREATE TABLE conduct_cursor (
    realm           smallint NOT NULL,
    party           text NOT NULL REFERENCES principal,
    closed_to_us    bigint NOT NULL,
    settled_to_us   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (realm, party)
);

CREATE TABLE conduct_run (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    begun_at_us     bigint NOT NULL,
    ended_at_us     bigint,
    events          bigint NOT NULL DEFAULT 0,
    accounts        bigint NOT NULL DEFAULT 0,
    position        bigint
);

CREATE TABLE finding (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    run             text NOT NULL REFERENCES conduct_run,
    party           text NOT NULL REFERENCES principal,
    branch          text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('late', 'unchecked', 'departed', 'forged')),
    event_count     integer NOT NULL CHECK (event_count > 0),
    open_count      integer NOT NULL CHECK (open_count >= 0),
    from_us         bigint NOT NULL,
    until_us        bigint NOT NULL,
    evidence        bytea NOT NULL CHECK (length(evidence) = 32),
    state           text NOT NULL
        CHECK (state IN ('noticed', 'answered', 'upheld', 'appealed', 'final', 'dismissed', 'cleared')),
    noticed_at_us   bigint NOT NULL,
    due_at_us       bigint NOT NULL,
    answer          text NOT NULL DEFAULT '',
    answered_by     text,
    answered_at_us  bigint,
    decided_by      text,
    decided_with    text NOT NULL DEFAULT '',
    decided_at_us   bigint,
    reason          text NOT NULL DEFAULT '',
    appeal          text NOT NULL DEFAULT '',
    appealed_by     text,
    appealed_at_us  bigint,
    appeal_decided_by text,
    appeal_decided_at_us bigint,
    position        bigint NOT NULL,
    UNIQUE (run, party, branch, kind)
);
CREATE INDEX finding_party ON finding (realm, party, noticed_at_us);
CREATE INDEX finding_due ON finding (due_at_us) WHERE state IN ('noticed', 'answered', 'upheld', 'appealed');

-- Events that are not covered, with what was found; those that are not here and are settled are covered.
CREATE TABLE conduct_verdict (
    event           bigint NOT NULL REFERENCES business_event,
    run             text NOT NULL REFERENCES conduct_run,
    finding         text REFERENCES finding,
    kind            text NOT NULL CHECK (kind IN ('late', 'unchecked', 'departed', 'forged')),
    check_id        bytea NOT NULL,
    checked_at_us   bigint NOT NULL,
    cleared_by      text NOT NULL DEFAULT '',
    PRIMARY KEY (event, run)
);
CREATE INDEX conduct_verdict_finding ON conduct_verdict (finding);

-- Events by day, place, business and what was found: what scorecards and plots are made of.
CREATE TABLE conduct_count (
    realm           smallint NOT NULL,
    party           text NOT NULL,
    branch          text NOT NULL,
    terminal        text NOT NULL,
    business        text NOT NULL,
    day             integer NOT NULL,
    kind            text NOT NULL,
    count           bigint NOT NULL,
    PRIMARY KEY (realm, party, branch, terminal, business, day, kind)
);

-- Counts of a run that has not ended yet.
CREATE TABLE conduct_staged (
    run             text NOT NULL,
    realm           smallint NOT NULL,
    party           text NOT NULL,
    branch          text NOT NULL,
    terminal        text NOT NULL,
    business        text NOT NULL,
    day             integer NOT NULL,
    kind            text NOT NULL,
    count           bigint NOT NULL
);

-- A file in which misuse of a document is established, or is not.
CREATE TABLE misuse_case (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    state           text NOT NULL,
    misuse          text NOT NULL,
    reported_by     text NOT NULL,
    reported_with   text NOT NULL,
    reference       text NOT NULL,
    victim_key      bytea,
    opened_at_us    bigint NOT NULL,
    investigator    text,
    investigator_with text NOT NULL DEFAULT '',
    subject_key     bytea,
    subject_person  bigint,
    key_epoch       smallint NOT NULL DEFAULT 0,
    identified_by   text NOT NULL DEFAULT '',
    standard        text NOT NULL DEFAULT '',
    grounds         text NOT NULL DEFAULT '',
    term_us         bigint NOT NULL DEFAULT 0,
    first_by        text,
    first_with      text NOT NULL DEFAULT '',
    second_by       text,
    second_with     text NOT NULL DEFAULT '',
    decided_at_us   bigint,
    told_at_us      bigint,
    effective_at_us bigint,
    appeal_until_us bigint,
    appealed_by     text,
    appealed_with   text NOT NULL DEFAULT '',
    appealed_at_us  bigint,
    appeal_due_us   bigint,
    appeal_by       text,
    closed_at_us    bigint,
    position        bigint NOT NULL
);
CREATE INDEX misuse_case_state ON misuse_case (realm, state, opened_at_us);
CREATE INDEX misuse_case_reporter ON misuse_case (reported_by, opened_at_us);

CREATE TABLE case_evidence (
    case_id         text NOT NULL REFERENCES misuse_case,
    sha256          bytea NOT NULL CHECK (length(sha256) = 32),
    kind            text NOT NULL,
    added_by        text NOT NULL,
    added_at_us     bigint NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (case_id, sha256)
);

CREATE TABLE case_step (
    case_id         text NOT NULL REFERENCES misuse_case,
    step            integer NOT NULL,
    event           text NOT NULL,
    was             text NOT NULL,
    became          text NOT NULL,
    author          text NOT NULL,
    at_us           bigint NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (case_id, step)
);

-- People found to have used others' documents. The key goes at the end of the term; a commitment to it stays.
CREATE TABLE impostor (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    case_id         text NOT NULL UNIQUE REFERENCES misuse_case,
    subject_key     bytea CHECK (length(subject_key) = 16),
    key_epoch       smallint NOT NULL,
    commitment      bytea NOT NULL CHECK (length(commitment) = 32),
    salt            bytea,
    person_id       bigint,
    listed_at_us    bigint NOT NULL,
    ends_at_us      bigint NOT NULL,
    purged_at_us    bigint,
    purge_position  bigint,
    position        bigint NOT NULL,
    CHECK ((purged_at_us IS NULL) = (subject_key IS NOT NULL))
);
CREATE INDEX impostor_key ON impostor (realm, subject_key) WHERE subject_key IS NOT NULL;
CREATE INDEX impostor_ends ON impostor (ends_at_us) WHERE subject_key IS NOT NULL;

-- Every look at the list that met an entry. It is the listed person's to see.
CREATE TABLE impostor_use (
    id              text PRIMARY KEY,
    impostor        text NOT NULL REFERENCES impostor,
    party           text NOT NULL,
    purpose         text NOT NULL,
    reference       text NOT NULL,
    used_at_us      bigint NOT NULL,
    position        bigint NOT NULL
);
CREATE INDEX impostor_use_of ON impostor_use (impostor, used_at_us);

-- A victim's pass: consented, revocable; the counter shows one sentence.
CREATE TABLE victim_pass (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    case_id         text NOT NULL REFERENCES misuse_case,
    secret_hash     bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    number_key      bytea NOT NULL CHECK (length(number_key) = 16),
    key_epoch       smallint NOT NULL,
    given_at_us     bigint NOT NULL,
    ends_at_us      bigint NOT NULL,
    revoked_at_us   bigint,
    position        bigint NOT NULL
);
CREATE INDEX victim_pass_case ON victim_pass (case_id);

-- Look-ups that do not look like business: each alarm says why, and waits for a person.
CREATE TABLE abuse_alarm (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    party           text NOT NULL,
    branch          text NOT NULL,
    clerk           text NOT NULL,
    pattern         text NOT NULL,
    day             integer NOT NULL,
    score           double precision NOT NULL,
    facts           text NOT NULL,
    response        text NOT NULL CHECK (response IN ('watch', 'ask', 'hold')),
    state           text NOT NULL CHECK (state IN ('open', 'explained', 'misuse', 'dismissed')),
    raised_at_us    bigint NOT NULL,
    decided_by      text,
    decided_at_us   bigint,
    reason          text NOT NULL DEFAULT '',
    position        bigint NOT NULL,
    UNIQUE (realm, party, branch, clerk, pattern, day)
);
CREATE INDEX abuse_alarm_state ON abuse_alarm (realm, state, raised_at_us);
CREATE TABLE abuse_cursor (
    realm           smallint PRIMARY KEY,
    day             integer NOT NULL
);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
