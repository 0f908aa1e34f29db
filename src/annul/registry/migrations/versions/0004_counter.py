"""The counter: released policies, departures, urgent needs with their due date."""

from alembic import op

revision = "0004"
down_revision = "0003"

SQL = """
-- What a key may be used for: everything its party may do, or checks at a counter alone.
ALTER TABLE api_key ADD COLUMN use text NOT NULL DEFAULT 'all' CHECK (use IN ('all', 'counter'));

-- The counter policy of a relying party. Version 1 is the register's default and has no row.
ALTER TABLE principal ADD COLUMN policy_version integer NOT NULL DEFAULT 1 CHECK (policy_version BETWEEN 1 AND 65535);
ALTER TABLE principal ADD COLUMN policy_two_persons boolean NOT NULL DEFAULT false;

CREATE TABLE counter_policy (
    party           text NOT NULL REFERENCES principal,
    version         integer NOT NULL CHECK (version BETWEEN 2 AND 65535),
    state           text NOT NULL CHECK (state IN ('draft', 'released', 'discarded')),
    policy          bytea NOT NULL,
    revision        integer NOT NULL CHECK (revision >= 1),
    based_on        integer NOT NULL,
    note            text NOT NULL,
    edited_by       text NOT NULL,
    edited_at_us    bigint NOT NULL,
    released_by     text,
    released_at_us  bigint,
    position        bigint,
    PRIMARY KEY (party, version)
);
CREATE UNIQUE INDEX counter_policy_draft ON counter_policy (party) WHERE state = 'draft';

-- Which version was put in force when, by whom: releases and roll-backs.
CREATE TABLE policy_change (
    party           text NOT NULL REFERENCES principal,
    version         integer NOT NULL,
    was             integer NOT NULL,
    changed_by      text NOT NULL,
    changed_at_us   bigint NOT NULL,
    reason          text NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (party, position)
);

-- A clerk decided otherwise than the answer said: bound to the check, one per check.
CREATE TABLE departure (
    id              text PRIMARY KEY,
    party           text NOT NULL REFERENCES principal,
    realm           smallint NOT NULL,
    check_id        bytea NOT NULL CHECK (length(check_id) = 16),
    checked_at_us   bigint NOT NULL,
    outcome         smallint NOT NULL,
    answered_status smallint NOT NULL,
    purpose         smallint NOT NULL,
    channel         smallint NOT NULL,
    policy_version  integer NOT NULL,
    decision        text NOT NULL CHECK (decision IN ('proceeded', 'refused')),
    reason          text NOT NULL,
    words           text NOT NULL,
    branch          text NOT NULL,
    terminal        text NOT NULL,
    clerk           text NOT NULL,
    decided_at_us   bigint NOT NULL,
    position        bigint NOT NULL,
    UNIQUE (realm, check_id)
);
CREATE INDEX departure_party ON departure (party, realm, decided_at_us, id);

-- A holder with an urgent need was served although the card is lost or replaced: the new card is to be shown by due_at_us.
CREATE TABLE urgent_need (
    id              text PRIMARY KEY,
    departure_id    text NOT NULL UNIQUE REFERENCES departure,
    party           text NOT NULL REFERENCES principal,
    realm           smallint NOT NULL,
    check_id        bytea NOT NULL CHECK (length(check_id) = 16),
    document_key    bytea NOT NULL CHECK (length(document_key) = 16),
    number_key      bytea CHECK (length(number_key) = 16),
    reference       text NOT NULL,
    opened_at_us    bigint NOT NULL,
    due_at_us       bigint NOT NULL,
    state           text NOT NULL CHECK (state IN ('open', 'settled')),
    shown_check     bytea CHECK (length(shown_check) = 16),
    shown_at_us     bigint,
    CHECK ((state = 'settled') = (shown_check IS NOT NULL))
);
CREATE INDEX urgent_need_open ON urgent_need (party, realm, due_at_us) WHERE state = 'open';
CREATE INDEX urgent_need_party ON urgent_need (party, realm, opened_at_us);

-- What a policy decides on, for dry runs over past checks. 9 is "not asked", "not done"; 1 is the default policy.
ALTER TABLE check_index ADD COLUMN identity smallint NOT NULL DEFAULT 9;
ALTER TABLE check_index ADD COLUMN binding smallint NOT NULL DEFAULT 9;
ALTER TABLE check_index ADD COLUMN policy_version integer NOT NULL DEFAULT 1;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
