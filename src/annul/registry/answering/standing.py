"""Say whether the listings may answer before their follower has looked at the register.

A table that survived holds everything that was acknowledged: no report is acknowledged before the table refuses. So a worker
answers as soon as it has started, without the database, and says by the freshness how old its state is. But nobody may answer
from a table that is behind what was acknowledged without it, or that is of other keys. What tells is in files:

- the table was closed cleanly, or the machine has run since (`annul.listings` refuses it else);
- nobody opened the register to write while the follower did not run (`mark_behind` notes that before, the follower takes the
  note away when it has caught up);
- the register log is not sealed beyond the table's position, under this key file: the folder is not an older copy;
- nothing was acknowledged beyond the table's position: `keys/acknowledged` says so. It lies with the keys and not with what it
  anchors, so it does not come back with an older copy of `listings/` and `log/` (`Anchor`);
- this worker's check log has no answer that stood on more than the table has (`annul.app`, when it opens that log), unless
  the register itself has lost what it stood on: a restored one says so by what it acknowledged last (`owed`);
- table and key file are of the same epoch, and no rotation of the keys is under way.

Else a worker waits for the follower, which looks at the register itself.
"""

from __future__ import annotations

import hashlib
from typing import Final

from annul import durable
from annul.errors import AnnulError, Corrupt, UnsafeSettings
from annul.home import Home
from annul.keys import Keys
from annul.listings.listings import Listings
from annul.proof.checkpoint import open_checkpoint

CHECKPOINT: Final = "log/register/checkpoint"
"""How the checkpoint of the register is called in errors."""


_UNREADABLE: Final = "What was acknowledged last cannot be read."


class Anchor:
    """Keep how far the register was when it acknowledged last, apart from the tables that hold what was acknowledged.

    The follower writes it before the table says that it has an entry, so it is never behind what anybody was told. Within a
    run it need not be durable: after a power cut the table is made anew from the register. It is when the follower stops.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._position = home, -1

    def reach(self, position: int, *, sync: bool = False) -> None:
        """Say that the register may acknowledge up to a position; a position that was said costs nothing.

        Args:
            sync: return when it is on stable storage.
        """
        if position == self._position and not sync:
            return
        durable.folder(self._home.keys)
        write = durable.replace if sync else durable.replace_lossy
        write(self._home.acknowledged, b"%d %s\n" % (position, _check(position)))
        self._position = position


def _check(position: int) -> bytes:
    return hashlib.sha256(b"annul acknowledged v1\0%d" % position).hexdigest()[:16].encode()


def acknowledged(home: Home) -> int | None:
    """Return how far the register was when it acknowledged last; None where nothing was yet.

    Raises:
        Corrupt: the file is damaged.
    """
    try:
        raw = home.acknowledged.read_bytes()
    except FileNotFoundError:
        return None
    said, _, check = raw.rstrip(b"\n").partition(b" ")
    if not said.isdigit() or len(said) > 18 or raw != b"%d %s\n" % (int(said), check) or check != _check(int(said)):
        raise Corrupt(_UNREADABLE, where="keys/acknowledged", mend="Start annul: the follower writes it anew.")
    return int(said)


def owed(home: Home, answered: int) -> int:
    """Return how far a table must be for a worker whose newest answer stood on position `answered`.

    A register that was restored from a backup ends before some answers that it gave: what it acknowledged last, which its
    follower wrote when it had looked at it, is all it can have. Where that cannot be read, the answers alone count.
    """
    try:
        known = acknowledged(home)
    except Corrupt:
        known = None
    return answered if known is None else min(answered, known)


def require_acknowledged(home: Home, length: int) -> None:
    """Refuse a register that lacks what was acknowledged.

    Args:
        length: entries of the register.

    Raises:
        UnsafeSettings: it ends before that: an older copy of it was put in place, also if its seal was put back with it.
    """
    try:
        known = acknowledged(home) or 0
    except Corrupt:
        return  # the seal still tells; the follower writes it anew
    if known > length:
        raise UnsafeSettings(
            f"The register has {length} entries, but {known} were acknowledged.",
            where="keys/acknowledged",
            mend="Restore the newest copy of the database. If what it lacks is lost, say so to those who reported it, "
            "and remove keys/acknowledged.",
        )


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
    known = acknowledged(home)
    if known is None or listings.position < known:
        return False
    return bool(listings.as_of_us) and listings.key_epoch == keys.epoch and listings.position >= sealed_size(home, keys)
