"""Keep the tags by which searches find persons by name and birth date: keyed, and following the register of persons."""

from __future__ import annotations

import asyncio
from typing import Final

from annul.records.names import search_block, stored_forms
from annul.registry.people import rows
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import reading

CATCH_UP_ROWS: Final = 2_000
"""Persons indexed in one step (some 0.2 s)."""


class NameIndex:
    """Keep the tags of names of every person.

    Args:
        ground: what every part stands on.
        vault: persons' keys.
    """

    def __init__(self, ground: Ground, vault: Vault) -> None:
        self._connections, self._keys, self._documents = ground.connections, ground.keys, ground.documents
        self._vault = vault

    async def catch_up(self, *, steps_max: int = 50) -> int:
        """Bring the tags of names up to the register of persons; return how many persons are left.

        It follows entries by their position: a crash repeats a step, which changes nothing.
        """
        left = 1
        for _ in range(steps_max):
            left = await self._index_step()
            if not left:
                break
        return left

    async def _index_step(self) -> int:
        async with reading(self._connections) as db, db.transaction():
            cursor = await (
                await db.execute("SELECT position, after_id, key_epoch FROM person_search_cursor FOR UPDATE")
            ).fetchone()
            assert cursor is not None
            position, after_id, epoch = cursor
            if epoch != self._keys.epoch:  # other keys, other tags: begin anew
                await db.execute("TRUNCATE person_search")
                position = after_id = 0
            row = await (
                await db.execute(
                    "SELECT position, first_id, last_id FROM (SELECT position, person_id AS first_id, person_id AS last_id "
                    "FROM civil_event WHERE position > %(at)s UNION ALL SELECT position, first_id, last_id FROM person_import "
                    "WHERE state = 'in_force' AND position > %(at)s) e ORDER BY position LIMIT 1",
                    {"at": position},
                )
            ).fetchone()
            if row is not None:
                entry, first, last = row
                first = max(first, after_id + 1)
                found = await db.execute(
                    f"SELECT {rows.COLUMNS} FROM person_record WHERE id BETWEEN %s AND %s ORDER BY id LIMIT %s",
                    (first, last, CATCH_UP_ROWS),
                )
                persons = [PersonRow(*values) for values in await found.fetchall()]
                tags = await asyncio.to_thread(self._tags, persons)
                await db.execute("DELETE FROM person_search WHERE person_id = ANY(%s)", ([each.id for each in persons],))
                async with db.cursor() as many:
                    await many.executemany(
                        "INSERT INTO person_search (realm, tag, person_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", tags
                    )
                more = len(persons) == CATCH_UP_ROWS
                position, after_id = (position, persons[-1].id) if more else (entry, 0)
            await db.execute(
                "UPDATE person_search_cursor SET position = %s, after_id = %s, key_epoch = %s",
                (position, after_id, self._keys.epoch),
            )
        return 0 if row is None else 1

    def _tags(self, persons: list[PersonRow]) -> list[tuple[int, bytes, int]]:
        made: list[tuple[int, bytes, int]] = []
        for row in persons:
            if row.wrapped_key is None:
                continue
            person = rows.open_row(row, self._vault)
            if not person.birth_date:
                continue
            forms = dict.fromkeys(form for name in person.names for form in stored_forms(name.text))
            keys = self._documents["test" if row.realm else "live"]
            made += [(row.realm, keys.blind(search_block(form, person.birth_date)), row.id) for form in forms]
        return made
