"""Linkage: how far devices have come, what parties have on file, digital credentials and their lists, reports of misuse."""

from alembic import op

revision = "0014"
down_revision = "0013"

SQL = """
-- Up to where a device said it refuses, when by its clock and by ours; how long entries took to get there, counted by powers
-- of two of a millisecond.
ALTER TABLE edge ADD COLUMN acknowledged_position bigint NOT NULL DEFAULT 0;
ALTER TABLE edge ADD COLUMN acknowledged_at_us bigint NOT NULL DEFAULT 0;
ALTER TABLE edge ADD COLUMN heard_at_us bigint NOT NULL DEFAULT 0;
ALTER TABLE edge ADD COLUMN delays integer[] NOT NULL DEFAULT '{}';

-- What a party has on file, as outputs of the oblivious function of an epoch: nobody reads a number from them.
CREATE TABLE subscription (
    party           text NOT NULL,
    realm           smallint NOT NULL,
    token           bytea NOT NULL CHECK (length(token) = 32),
    epoch           integer NOT NULL,
    since_us        bigint NOT NULL,
    PRIMARY KEY (token, party, realm)
);
CREATE INDEX subscription_of_party ON subscription (party, realm);

-- What became of documents, under the same outputs, by the position of the entry that said so.
CREATE TABLE blinded_change (
    position        bigint NOT NULL,
    token           bytea NOT NULL,
    realm           smallint NOT NULL,
    epoch           integer NOT NULL,
    code            smallint NOT NULL,
    recorded_at_us  bigint NOT NULL,
    PRIMARY KEY (position, token)
);
CREATE INDEX blinded_change_of_token ON blinded_change (token, position);

-- How far the entries of the register log were told under those outputs.
CREATE TABLE blinded_cursor (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch           integer NOT NULL DEFAULT 0,
    position        bigint NOT NULL DEFAULT 0
);
INSERT INTO blinded_cursor DEFAULT VALUES;

-- What a party is told, numbered from 1 for each party, until it acknowledges.
CREATE TABLE subscription_event (
    party           text NOT NULL,
    realm           smallint NOT NULL,
    number          bigint NOT NULL,
    token           bytea NOT NULL,
    epoch           integer NOT NULL,
    position        bigint NOT NULL,
    code            smallint NOT NULL,
    told_at_us      bigint NOT NULL,
    act_by_us       bigint NOT NULL,
    acknowledged_at_us bigint,
    PRIMARY KEY (party, realm, number),
    UNIQUE (party, realm, token, position)
);
CREATE INDEX subscription_event_open ON subscription_event (act_by_us) WHERE acknowledged_at_us IS NULL;

-- What a party used of the oblivious function on a day.
CREATE TABLE blinding (
    party           text NOT NULL,
    realm           smallint NOT NULL,
    day             integer NOT NULL,
    count           bigint NOT NULL,
    PRIMARY KEY (party, realm, day)
);

-- What a party suspects: a statement for a case, no verdict; nothing follows from it by itself.
CREATE TABLE misuse (
    id              text PRIMARY KEY,
    party           text NOT NULL,
    realm           smallint NOT NULL,
    kind            text NOT NULL,
    document_id     bigint REFERENCES document (id),
    document_key    bytea,
    check_id        text NOT NULL DEFAULT '',
    branch          text NOT NULL DEFAULT '',
    evidence        text NOT NULL DEFAULT '',
    happened_at_us  bigint NOT NULL,
    recorded_at_us  bigint NOT NULL,
    position        bigint NOT NULL,
    case_id         text
);
CREATE INDEX misuse_waiting ON misuse (recorded_at_us) WHERE case_id IS NULL;

-- Status lists, and the digital credentials whose state they tell.
CREATE TABLE status_list (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm           smallint NOT NULL,
    size            integer NOT NULL,
    given           integer NOT NULL DEFAULT 0,
    version         bigint NOT NULL DEFAULT 0,
    made_at_us      bigint NOT NULL
);
CREATE TABLE credential (
    id              text PRIMARY KEY,
    document_id     bigint NOT NULL REFERENCES document (id),
    party           text NOT NULL,
    list_id         bigint NOT NULL REFERENCES status_list (id),
    place           integer NOT NULL,
    rule            text NOT NULL,
    -- what its issuer said of itself, and what is told: the worse of that and of what the rule makes of the document
    own             smallint NOT NULL DEFAULT 0,
    told            smallint NOT NULL DEFAULT 0,
    made_at_us      bigint NOT NULL,
    UNIQUE (list_id, place)
);
CREATE INDEX credential_of_document ON credential (document_id);
CREATE INDEX credential_listed ON credential (list_id) WHERE told <> 0;

-- What was told since when, for questions about the past.
CREATE TABLE credential_told (
    list_id         bigint NOT NULL,
    place           integer NOT NULL,
    since_us        bigint NOT NULL,
    told            smallint NOT NULL,
    PRIMARY KEY (list_id, place, since_us)
);

-- How far the entries of the register log were followed for credentials.
CREATE TABLE credential_cursor (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    position        bigint NOT NULL DEFAULT 0
);
INSERT INTO credential_cursor DEFAULT VALUES;
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
