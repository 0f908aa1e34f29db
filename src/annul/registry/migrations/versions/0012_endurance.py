"""What lets questions and loops stay short: former keys of documents, indexes that begin with the realm, places of windows."""

from alembic import op

revision = "0012"
down_revision = "0011"

SQL = """
-- Keys a document had before rotations, sealed: its old checks are found by them. NULL: rotated before they were kept.
ALTER TABLE document ADD COLUMN former_keys bytea;
-- Where the search for checks under older keys goes on, for documents without such keys.
ALTER TABLE correction ADD COLUMN older_after_us bigint NOT NULL DEFAULT 0;

-- A list of a party begins with its realm: the test key of a bank does not read its live checks.
DROP INDEX check_index_party;
CREATE INDEX check_index_party ON check_index (realm, party, checked_at_us, worker, window_no, leaf_index);
-- Rows come in the order of time, so a few bytes per hundred pages find a stretch of it.
CREATE INDEX check_index_time ON check_index USING brin (checked_at_us);
-- Where a check's window begins in its file: a receipt is one read. -1: indexed before this was noted.
ALTER TABLE check_index ADD COLUMN window_at bigint NOT NULL DEFAULT -1;

-- What is let go after its time is found by its time.
CREATE INDEX attempt_age ON attempt (checked_at_us);
CREATE INDEX notice_age ON notice (created_at_us);
CREATE INDEX recall_check_age ON recall_check (checked_at_us);
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
