"""Say whether the listings may answer before their follower has looked at the register.

A table that survived holds everything that was acknowledged: no report is acknowledged before the table refuses. So a worker
answers as soon as it has started, without the database, and says by the freshness how old its state is. But nobody may answer
from a table that is behind what was acknowledged without it, or that is of other keys. What tells is in files:

- the table was closed cleanly, or the machine has run since (`annul.listings` refuses it else);
- nobody opened the register to write while the follower did not run (`mark_behind` notes that before, the follower takes the
  note away when it has caught up);
- the register log is not sealed beyond the table's position, under this key file: the folder is not an older copy;
- table and key file are of the same epoch, and no rotation of the keys is under way.

Else a worker waits for the follower, which looks at the register itself.
"""

from __future__ import annotations

from typing import Final

from annul import durable
from annul.errors import AnnulError, Corrupt
from annul.home import Home
from annul.listings.listings import Listings
from annul.proof.checkpoint import open_checkpoint
from annul.registry.keys import Keys

CHECKPOINT: Final = "log/register/checkpoint"
"""How the checkpoint of the register is called in errors."""


def mark_behind(home: Home) -> None:
    """Note, durably, that from now on the register may be written without the follower."""
    folder = durable.folder(home.listings)
    home.behind.touch()
    durable.sync_folder(folder)


def caught_up(home: Home) -> None:
    """Take the note away: the follower lives, and the table has everything the register has."""
    file = home.behind
    if file.exists():
        file.unlink()


def sealed_size(home: Home, keys: Keys) -> int:
    """Return how many entries of the register log are sealed; 0 before the first checkpoint.

    Raises:
        Corrupt: the checkpoint is damaged, or was signed with the key of another key file.
    """
    file = home.log("register") / "checkpoint"
    if not file.exists():
        return 0
    try:
        signer = keys.register_signer()
        return open_checkpoint(file.read_bytes(), [signer.verifier], signer.name).size
    except AnnulError as error:
        raise Corrupt(
            "The checkpoint of the register log is damaged, or of another key file.",
            where=CHECKPOINT,
            mend="Restore it, or the key file, from its copy. Never delete it: it says how far the register was.",
        ) from error


def stands(home: Home, keys: Keys) -> bool:
    """Tell whether the table has everything that was acknowledged.

    Raises:
        SourceDown: there is no table yet.
        Corrupt: it cannot be trusted, or the log was sealed with the key of another key file.
    """
    if keys.pending or home.behind.exists():
        return False
    listings = Listings(home.listings)
    Listings(home.people)  # written before the listings say that they have an entry
    return bool(listings.as_of_us) and listings.key_epoch == keys.epoch and listings.position >= sealed_size(home, keys)
