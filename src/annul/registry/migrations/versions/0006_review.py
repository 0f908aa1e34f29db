"""The clean-up: runs, suspicions, decisions."""

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
