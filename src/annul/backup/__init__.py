"""WHAT COMES BACK AFTER THE FIRE: copies of a register that runs, and a register made from a copy, which proves itself.

A backup folder holds what only grows once (`grown/`: check logs and tiles, of which each run adds what is new) and a folder for
each run with the rest: the database, the lists in force, the settings and keys sealed to whoever may open them, and a signed
table of contents. Copies are taken in the order in which one speaks of another: the checkpoints first, then the database, which
has at least what they seal, then the check logs and tiles. So every copy is whole in itself, whenever it was begun.

    contents = take(settings, Target(folder), sealing)          hot; incremental
    restored = restore(folder, home, …)                         refuses what is behind what was given out

What must never happen here: a key, a password or the settings outside the sealed file; a copy that looks finished and is not.
Format: docs/formats/backup.md, decision 0017.
"""

from annul.backup.contents import Contents
from annul.backup.restoring import Restored, Source, restore
from annul.backup.sealing import Opening, Sealing, make_identity
from annul.backup.taking import take

__all__ = ["Contents", "Opening", "Restored", "Sealing", "Source", "make_identity", "restore", "take"]
