"""Reports that came late, counts that policies are tried on, webhooks that pause."""

from alembic import op

revision = "0008"
down_revision = "0007"

SQL = """
-- Why answers are recalled: a listing that was never true, or one that was true already when they were given.
ALTER TABLE correction ADD COLUMN cause text NOT NULL DEFAULT 'corrected' CHECK (cause IN ('corrected', 'reported_late'));
-- When the index is looked through for it again; it is some seconds behind the answers.
ALTER TABLE correction ADD COLUMN next_sweep_us bigint NOT NULL DEFAULT 0;
DROP INDEX correction_open;
CREATE INDEX correction_open ON correction (next_sweep_us) WHERE swept_at_us IS NULL;
-- When the document keys were last changed: checks before that are in the index under older keys.
ALTER TABLE recall_cursor ADD COLUMN rotated_at_us bigint NOT NULL DEFAULT 0;
UPDATE recall_cursor SET rotated_at_us = extract(epoch FROM now()) * 1000000 WHERE (SELECT key_epoch FROM log_head) > 1;
-- 3 is STOP; other outcomes were given before the report.
ALTER TABLE attempt ADD COLUMN outcome smallint NOT NULL DEFAULT 3;

-- What a policy decides on, counted while checks are indexed: a trial on a month of checks reads some thousand rows.
CREATE TABLE answers_by_day (
    party           text NOT NULL,
    realm           smallint NOT NULL,
    day             integer NOT NULL,
    status          smallint NOT NULL,
    identity        smallint NOT NULL,
    binding         smallint NOT NULL,
    freshness       smallint NOT NULL,
    channel         smallint NOT NULL,
    purpose         smallint NOT NULL,
    outcome         smallint NOT NULL,
    advice          integer NOT NULL,
    count           bigint NOT NULL,
    newest          bytea NOT NULL CHECK (length(newest) = 16),
    PRIMARY KEY (party, realm, day, status, identity, binding, freshness, channel, purpose, outcome, advice)
);
CREATE INDEX answers_by_day_age ON answers_by_day (day);
INSERT INTO answers_by_day SELECT party, realm, checked_at_us / 86400000000 AS day, answered_status, identity, binding,
    freshness, channel, purpose, outcome, advice, count(*), (array_agg(check_id ORDER BY checked_at_us DESC))[1]
FROM check_index WHERE checked_at_us >= (extract(epoch FROM now())::bigint / 86400 - 31) * 86400000000
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;

-- Follow-ups are found by the document that is shown, and told once when their day is over.
ALTER TABLE urgent_need ADD COLUMN due_told boolean NOT NULL DEFAULT false;
UPDATE urgent_need n SET due_told = true WHERE EXISTS (SELECT FROM notice WHERE key = 'follow-up:' || n.id || ':due');
CREATE INDEX urgent_need_number ON urgent_need (number_key) WHERE state = 'open';
CREATE INDEX urgent_need_document ON urgent_need (document_key) WHERE state = 'open';
CREATE INDEX urgent_need_due ON urgent_need (due_at_us) WHERE state = 'open' AND NOT due_told;

-- A webhook that pauses keeps what it is to be told.
ALTER TABLE webhook ADD COLUMN paused_at_us bigint;
ALTER TABLE delivery DROP CONSTRAINT delivery_state_check;
ALTER TABLE delivery ADD CONSTRAINT delivery_state_check CHECK (state IN ('due', 'paused', 'sent', 'kept', 'dead'));
CREATE INDEX delivery_paused ON delivery (address) WHERE state = 'paused';
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
