"""Keys of documents that verifiers carry, and the edges that carry editions."""

from alembic import op

revision = "0009"
down_revision = "0008"

SQL = """
-- What an edge computes from a number, sealed: who has an edge's secrets and this table cannot join them (decision 0015).
ALTER TABLE document ADD COLUMN carried_key bytea CHECK (length(carried_key) = 16);

CREATE INDEX document_carried ON document (carried_key) WHERE carried_key IS NOT NULL;

CREATE TABLE edge (
    name            text PRIMARY KEY,
    party           text NOT NULL,
    vkey            text NOT NULL UNIQUE,
    admitted_at_us  bigint NOT NULL,
    until_us        bigint NOT NULL,
    withdrawn_at_us bigint,
    -- the journal as far as it was taken: next line, chain, and where the last window began (it may come twice)
    journal_next    bigint NOT NULL DEFAULT 1,
    journal_chain   bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(journal_chain) = 32),
    journal_first   bigint,
    journal_before  bytea
);
COMMENT ON TABLE edge IS 'Devices that may read editions until a time; vkey is the device''s own public key (C2SP)';
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
