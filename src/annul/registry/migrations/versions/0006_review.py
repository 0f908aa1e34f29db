"""The clean-up: runs, suspicions, decisions, face vectors; records that were merged into another or cancelled."""

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = """
-- A record that counts no more: it was merged into another one, or its entry was false. Its versions stay.
ALTER TABLE person_record ADD COLUMN ended text CHECK (ended IN ('merged', 'cancelled'));
ALTER TABLE person_record ADD COLUMN merged_into bigint;

-- One pass over the whole register.
CREATE TABLE review_run (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    state           text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    started_by      text NOT NULL,
    started_at_us   bigint NOT NULL,
    ended_at_us     bigint,
    summary         bytea NOT NULL DEFAULT ''
);
CREATE INDEX review_run_newest ON review_run (realm, started_at_us DESC);

-- A suspicion names records and documents by id and what contradicts by code; details are opened when an officer looks.
-- facts is a keyed hash of what it rests on: with the same facts it is the same suspicion, decided or not.
CREATE TABLE suspicion (
    id              text PRIMARY KEY,
    realm           smallint NOT NULL,
    cause           text NOT NULL CHECK (cause IN ('wrong', 'duplicate', 'false')),
    rules           text[] NOT NULL,
    persons         bigint[] NOT NULL,
    subject         text NOT NULL,
    documents       bigint[] NOT NULL DEFAULT '{}',
    score           real NOT NULL,
    region          text NOT NULL,
    facts           bytea NOT NULL CHECK (length(facts) = 16),
    state           text NOT NULL CHECK (state IN ('open', 'proposed', 'visit', 'decided', 'gone')),
    found_run       text NOT NULL REFERENCES review_run,
    seen_run        text NOT NULL REFERENCES review_run,
    found_at_us     bigint NOT NULL,
    earlier         text REFERENCES suspicion
);
CREATE UNIQUE INDEX suspicion_of ON suspicion (realm, subject) WHERE state <> 'gone';
CREATE INDEX suspicion_queue ON suspicion (realm, state, cause, score DESC, id);
CREATE INDEX suspicion_region ON suspicion (realm, region, state);
CREATE INDEX suspicion_persons ON suspicion USING gin (persons);

-- What an officer decided; what shall be changed is sealed under the key of the person it concerns.
CREATE TABLE review_decision (
    id              text PRIMARY KEY,
    suspicion_id    text NOT NULL REFERENCES suspicion,
    decision        text NOT NULL,
    grounds         text NOT NULL,
    person_id       bigint,
    cancels         boolean NOT NULL DEFAULT false,
    correction      bytea,
    state           text NOT NULL CHECK (state IN ('waiting', 'in_force', 'refused', 'undone')),
    decided_by      text NOT NULL,
    decided_at_us   bigint NOT NULL,
    second_by       text,
    second_at_us    bigint,
    positions       bigint[] NOT NULL DEFAULT '{}',
    documents       integer NOT NULL DEFAULT 0,
    undone_by       text,
    undone_at_us    bigint,
    undone_grounds  text NOT NULL DEFAULT ''
);
CREATE INDEX review_decision_of ON review_decision (suspicion_id, decided_at_us);
CREATE INDEX review_decision_waiting ON review_decision (decided_at_us) WHERE state = 'waiting';

-- The comparison vector of an enrolled portrait, sealed under the person's key; without bytes no face could be found in it.
-- searched: a run compared it with all others, and stored what it found in the same transaction.
CREATE TABLE face_vector (
    enrolment_id    text PRIMARY KEY REFERENCES enrolment ON DELETE CASCADE,
    person_id       bigint NOT NULL REFERENCES person_record ON DELETE CASCADE,
    algorithm       text NOT NULL,
    ciphertext      bytea,
    searched        boolean NOT NULL DEFAULT false
);
CREATE INDEX face_vector_of ON face_vector (person_id);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
