"""What entries refer by lies beside the log, where it can be erased; of Idempotency-Keys a digest; no numbers in references.

Entries that stand keep their form: they were sealed in version 1, with their texts. Of the texts that are kept once more for
questions, a number that checks out is cut out here. Those of the check log and its index go with `check_log_days`.
"""

from alembic import op
from sqlalchemy import text

from annul.records.references import without_numbers

revision = "0011"
down_revision = "0010"

SQL = """
-- The text an entry commits to. Its row is deleted when the text is erased.
CREATE TABLE entry_reference (
    position        bigint PRIMARY KEY,
    salt            bytea NOT NULL CHECK (length(salt) = 16),
    text            text NOT NULL
);
UPDATE idempotency SET key = encode(sha256(convert_to(key, 'UTF8')), 'hex');
"""

REFERENCES = (
    ("report", "evidence"),
    ("bulk", "evidence"),
    ("person_import", "evidence"),
    ("civil_event", "evidence"),
    ("pending_death", "evidence"),
    ("pending_death", "grounds"),
    ("consent", "evidence"),
    ("search", "case_reference"),
    ("dispute", "case_reference"),
    ("dispute", "reason"),
    ("notice_hold", "case_reference"),
    ("found_card", "point"),
    ("found_card", "shelf"),
    ("found_card", "keeper"),
    ("custody", "given_by"),
    ("custody", "taken_by"),
    ("custody", "place"),
    ("departure", "branch"),
    ("departure", "terminal"),
    ("departure", "clerk"),
    ("urgent_need", "reference"),
    ("attempt", "branch"),
    ("recall_check", "reference"),
    ("review_decision", "grounds"),
    ("review_decision", "undone_grounds"),
    ("policy_change", "reason"),
    ("api_key", "label"),
    ("passkey", "label"),
)
"""Where people wrote references and reasons until now."""


def upgrade() -> None:
    """Change the tables, and cut numbers out of what stands in them."""
    bind = op.get_bind()
    bind.exec_driver_sql(SQL)
    for table, column in REFERENCES:
        # what has fewer than fifteen digits holds no number that checks out: most rows are never looked at here
        found = bind.exec_driver_sql(
            f"SELECT DISTINCT {column} FROM {table} "
            f"WHERE length(regexp_replace({column}, '[^[:digit:]]', '', 'g')) >= 10 OR {column} ~ '[^[:ascii:]]'"
        )
        for (written,) in found.fetchall():
            kept = without_numbers(written)
            if kept != written:
                bind.execute(
                    text(f"UPDATE {table} SET {column} = :kept WHERE {column} = :written"), {"kept": kept, "written": written}
                )
    # a place of checks whose name was a number is seen again under another one
    for party, branch, terminal in bind.exec_driver_sql("SELECT DISTINCT party, branch, terminal FROM verifier").fetchall():
        if without_numbers(branch + "\n" + terminal) != branch + "\n" + terminal:
            bind.execute(
                text("DELETE FROM verifier WHERE party = :party AND branch = :branch AND terminal = :terminal"),
                {"party": party, "branch": branch, "terminal": terminal},
            )


def downgrade() -> None:
    """Refuse: history is never deleted."""
    raise NotImplementedError("the register is never taken back: restore a backup instead")
