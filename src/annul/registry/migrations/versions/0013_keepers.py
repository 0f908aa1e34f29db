"""Found cards have a party that keeps them: nobody else ends what lies at its desk."""

from alembic import op

revision = "0013"
down_revision = "0012"

SQL = """
ALTER TABLE found_card ADD COLUMN kept_by text NOT NULL DEFAULT '';
UPDATE found_card SET kept_by = split_part(accepted_by, '/', 1);
"""


def upgrade() -> None:
    """Change the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
