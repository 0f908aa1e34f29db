"""How the author of an act signed in, and who made a credential: two persons are two credentials."""

from alembic import op

revision = "0010"
down_revision = "0009"

SQL = """
-- The credential of the first person: the id of a key or of a passkey; '' in what was done before.
ALTER TABLE bulk ADD COLUMN staged_with text NOT NULL DEFAULT '';
ALTER TABLE bulk ADD COLUMN confirmed_with text NOT NULL DEFAULT '';
ALTER TABLE person_import ADD COLUMN staged_with text NOT NULL DEFAULT '';
ALTER TABLE person_import ADD COLUMN confirmed_with text NOT NULL DEFAULT '';
-- A second person confirmed it because one alone might not: it does not count towards what one person brought in this day.
ALTER TABLE bulk ADD COLUMN by_two boolean NOT NULL DEFAULT false;
ALTER TABLE person_import ADD COLUMN by_two boolean NOT NULL DEFAULT false;
ALTER TABLE dispute ADD COLUMN proposed_with text NOT NULL DEFAULT '';
ALTER TABLE review_decision ADD COLUMN decided_with text NOT NULL DEFAULT '';
ALTER TABLE counter_policy ADD COLUMN edited_with text NOT NULL DEFAULT '';

-- Who made an officer or a credential, or gave her more duties, and how the maker had signed in.
CREATE TABLE credential_made (
    name            text NOT NULL,
    made_by         text NOT NULL,
    made_with       text NOT NULL,
    made_at_us      bigint NOT NULL
);
CREATE INDEX credential_made_name ON credential_made (name);

-- What one person asked for and another one must ask for too.
CREATE TABLE asked (
    what            text PRIMARY KEY,
    asked_by        text NOT NULL,
    asked_with      text NOT NULL,
    asked_at_us     bigint NOT NULL
);

CREATE INDEX bulk_of_one ON bulk (realm, confirmed_at_us) WHERE state = 'in_force' AND NOT by_two;
CREATE INDEX person_import_of_one ON person_import (realm, confirmed_at_us) WHERE state = 'in_force' AND NOT by_two;
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
