"""Sessions of people that can be ended, forms typed when one was lost, and counts for figures and oversight."""

from alembic import op

revision = "0007"
down_revision = "0006"

SQL = """
CREATE TABLE session (
    id bytea PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('clerk', 'officer', 'citizen')),
    subject text NOT NULL,
    realm smallint NOT NULL,
    began_at_us bigint NOT NULL,
    until_us bigint NOT NULL,
    ended_at_us bigint,
    ended_by text
);
COMMENT ON TABLE session IS
    'Sessions of pages; id is the SHA-256 of the secret in the cookie, subject a key, an officer or a person of the register';
CREATE INDEX session_subject ON session (kind, subject) WHERE ended_at_us IS NULL;
CREATE INDEX session_until ON session (until_us);

CREATE TABLE kept_form (
    session bytea NOT NULL,
    path text NOT NULL,
    owner text NOT NULL,
    sealed bytea NOT NULL,
    until_us bigint NOT NULL,
    PRIMARY KEY (session, path)
);
COMMENT ON TABLE kept_form IS 'What a person had typed when the session was lost; sealed, given back to the same person only';
CREATE INDEX kept_form_until ON kept_form (until_us);

-- Counts of checks, kept with the index in one transaction: figures and oversight never read the checks themselves.
CREATE TABLE checks_by_day (
    day integer NOT NULL,
    realm smallint NOT NULL,
    party text NOT NULL,
    purpose smallint NOT NULL,
    outcome smallint NOT NULL,
    status smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (day, realm, party, purpose, outcome, status)
);
CREATE TABLE checks_by_minute (
    minute integer NOT NULL,
    realm smallint NOT NULL,
    party text NOT NULL,
    outcome smallint NOT NULL,
    freshness smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (minute, realm, party, outcome, freshness)
);
-- A place where documents are checked: what state of the register its newest answer was given against.
CREATE TABLE verifier (
    realm smallint NOT NULL,
    party text NOT NULL,
    branch text NOT NULL,
    terminal text NOT NULL,
    seen_at_us bigint NOT NULL,
    freshness smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (realm, party, branch, terminal)
);
CREATE INDEX verifier_seen ON verifier (realm, seen_at_us);
-- How the register was, every few seconds for two days: accounts/pulse.py. figure holds yearly counts, made anew now and then.
CREATE TABLE pulse (
    at_us bigint PRIMARY KEY,
    sample bytea NOT NULL
);
CREATE TABLE figure (
    name text PRIMARY KEY,
    made_at_us bigint NOT NULL,
    content bytea NOT NULL
);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
