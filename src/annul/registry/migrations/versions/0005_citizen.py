"""The citizen: notices and their outbox, attempts, contact channels."""

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = """
-- What somebody is to be told, once: `key` says what it is about. The text is made when it is sent; no number and no name is
-- in `details`. A notice to a holder names the document or the person, one to a party its principal.
CREATE TABLE notice (
    id              text PRIMARY KEY,
    key             text NOT NULL UNIQUE,
    kind            text NOT NULL,
    realm           smallint NOT NULL,
    document_id     bigint,
    person_id       bigint,
    party           text,
    details         bytea NOT NULL,
    created_at_us   bigint NOT NULL,
    not_before_us   bigint NOT NULL,
    hold_id         text,
    state           text NOT NULL CHECK (state IN ('waiting', 'routed')),
    channel_count   smallint NOT NULL DEFAULT 0,
    read_at_us      bigint,
    CHECK (num_nonnulls(document_id, person_id, party) >= 1)
);
CREATE INDEX notice_waiting ON notice (not_before_us) WHERE state = 'waiting';
CREATE INDEX notice_of_person ON notice (person_id, created_at_us) WHERE person_id IS NOT NULL;
CREATE INDEX notice_of_document ON notice (document_id, created_at_us) WHERE document_id IS NOT NULL;

-- One notice on one channel. `address` is sealed under the person's own key (a webhook's id for a party). A lease marks what is
-- being sent: when the sender dies, it ends and the same id is sent again.
CREATE TABLE delivery (
    id              text PRIMARY KEY,
    notice_id       text NOT NULL REFERENCES notice,
    channel         text NOT NULL CHECK (channel IN ('email', 'sms', 'webhook')),
    address         bytea NOT NULL,
    language        text NOT NULL,
    state           text NOT NULL CHECK (state IN ('due', 'sent', 'kept', 'dead')),
    tries           smallint NOT NULL DEFAULT 0,
    due_at_us       bigint NOT NULL,
    fault           text NOT NULL DEFAULT '',
    done_at_us      bigint
);
CREATE INDEX delivery_due ON delivery (due_at_us) WHERE state = 'due';
CREATE INDEX delivery_of ON delivery (notice_id);
CREATE INDEX delivery_dead ON delivery (due_at_us) WHERE state = 'dead';

-- How far the sources of notices were read: the register log by position, each worker's checks by window.
CREATE TABLE notice_cursor (
    source          text PRIMARY KEY,
    position        bigint NOT NULL
);
INSERT INTO notice_cursor (source, position) SELECT 'register', next_position - 1 FROM log_head;
INSERT INTO notice_cursor (source, position) SELECT 'checks/' || worker, next_window FROM check_cursor;

-- Stops of the check index alone: the source of attempts reads them by window.
CREATE INDEX check_index_stops ON check_index (worker, window_no) WHERE outcome = 3;

-- A document that must not be relied on was presented somewhere. The holder sees it from `visible_from_us` on.
CREATE TABLE attempt (
    id              text PRIMARY KEY,
    check_id        bytea NOT NULL UNIQUE,
    realm           smallint NOT NULL,
    document_id     bigint NOT NULL,
    party           text NOT NULL,
    branch          text NOT NULL,
    purpose         smallint NOT NULL,
    channel         smallint NOT NULL,
    status          smallint NOT NULL,
    checked_at_us   bigint NOT NULL,
    visible_from_us bigint NOT NULL,
    hold_id         text,
    said            text NOT NULL DEFAULT '' CHECK (said IN ('', 'me', 'not_me')),
    said_at_us      bigint
);
CREATE INDEX attempt_of ON attempt (document_id, checked_at_us);
CREATE INDEX attempt_denied ON attempt (said_at_us) WHERE said = 'not_me';

-- Notices of attempts and searches that wait because a case is open; every hold ends.
CREATE TABLE notice_hold (
    id              text PRIMARY KEY,
    document_id     bigint NOT NULL,
    case_reference  text NOT NULL,
    author          text NOT NULL,
    created_at_us   bigint NOT NULL,
    until_us        bigint NOT NULL,
    released_at_us  bigint
);
CREATE INDEX notice_hold_of ON notice_hold (document_id, until_us);

-- Where parties want to be told. The secret is sealed under the master key of the key file.
CREATE TABLE webhook (
    id              text PRIMARY KEY,
    party           text NOT NULL REFERENCES principal,
    realm           smallint NOT NULL,
    url             text NOT NULL,
    kinds           text[] NOT NULL,
    secret          bytea NOT NULL,
    created_at_us   bigint NOT NULL,
    ended_at_us     bigint
);
CREATE INDEX webhook_of ON webhook (party) WHERE ended_at_us IS NULL;

-- Who logs in with which subject of the identity provider, and in which language a person reads.
CREATE TABLE citizen_subject (
    subject         bytea PRIMARY KEY CHECK (length(subject) = 32),
    person_id       bigint NOT NULL REFERENCES person_record ON DELETE CASCADE,
    linked_at_us    bigint NOT NULL
);
CREATE TABLE citizen_language (
    person_id       bigint PRIMARY KEY REFERENCES person_record ON DELETE CASCADE,
    language        text NOT NULL
);

-- A report that is being written: sealed under a key that only the writer's browser holds.
CREATE TABLE report_draft (
    id              text PRIMARY KEY,
    ciphertext      bytea NOT NULL,
    until_us        bigint NOT NULL
);
CREATE INDEX report_draft_until ON report_draft (until_us);

-- Counts against guessing, by keyed subject (an address, a document); no address is stored.
CREATE TABLE tally (
    subject         bytea PRIMARY KEY CHECK (length(subject) = 32),
    began_at_us     bigint NOT NULL,
    count           integer NOT NULL
);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
