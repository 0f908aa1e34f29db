"""The citizen: notices and their outbox, attempts, contact channels."""

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = """
SELECT 1;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SQL)


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
