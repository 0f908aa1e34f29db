"""Print editions: build, sign, release by a second key, publish; admit the edges that may read them.

Below `<home>/editions`:

    built/<id>/               not released yet: edition.bin, digests.bin, manifest (one signature)
    published/<id>/           the same with two signatures, grant-<edge>, and supplements; nothing here ever changes
    published/index.json      what there is; unsigned, everything it names is
    published/heartbeat       signed, anew each second or minute

A crash leaves a folder in `built` that can be published or thrown away; publication is one rename. An edition's key E follows
from the document secrets and its id, so it is stored nowhere; an edge gets it sealed to its own key (`grants`).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import secrets
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import nacl.public
import nacl.signing
import psycopg

from annul import durable
from annul.edge.edition import EXACT, FINGERPRINT
from annul.edge.grant import Grant, key_check
from annul.edge.store import NAME
from annul.edge.trust import EDITIONS_NAME, RELEASE_NAME, Frame, Heartbeat, Manifest, Role, Supplement, Trust, open_signed
from annul.errors import BadInput, Conflict, Corrupt, NotFound, UnsafeSettings
from annul.home import Home
from annul.keys import Keys
from annul.proof.checkpoint import Signer, Verifier, sign_note
from annul.records.carried import EditionKey, derive
from annul.registry.editions.build import About, Made, Unlucky, build
from annul.registry.editions.index import DIGESTS_FILE, EDITION_FILE, HEARTBEAT_FILE, INDEX_FILE, MANIFEST_FILE, Entry, Index
from annul.registry.editions.universe import Pointing, Universe, points_of, read_universe
from annul.times import DAY_US, Clock

EXPIRES_US: Final = 30 * DAY_US
"""An edition is believed for so long: a device that was offline longer must fetch a newer one."""
BUILD_TRIES: Final = 3
EDGES_MAX: Final = 100_000
"""Edges admitted at one time: each has a grant of some 300 bytes in each edition."""
_FORMS: Final = {EXACT: "exact", FINGERPRINT: "fingerprint"}


@dataclass(frozen=True, slots=True)
class Built:
    """An edition that was built and signed once."""

    manifest: Manifest
    left_out: int

    @property
    def ratio(self) -> float:
        """Bytes over entropy."""
        return self.manifest.bytes / self.manifest.entropy_bytes if self.manifest.entropy_bytes else 0.0


class Press:
    """Build, release and publish editions of one register.

    Args:
        home: data folder.
        keys: the key file.
        now_us: clock, microseconds since the epoch.
        release_file: file of the releasing key, where it is kept elsewhere.
    """

    def __init__(self, home: Home, keys: Keys, now_us: Clock, release_file: Path | None = None) -> None:
        self.home, self.keys, self.now_us = home, keys, now_us
        self._release_file = release_file or home.release_key
        self.published = home.published
        self._built = home.editions / "built"
        self.signer = Signer(EDITIONS_NAME, keys.edition_seed())

    def edition_key(self, edition: str, epoch: int) -> bytes:
        """Return E of an edition."""
        return derive(self.keys.live[epoch - 1], f"edition {edition}")

    def public_keys(self) -> list[str]:
        """Return the two verifier keys edges are given; at the first call the releasing key is made.

        Raises:
            UnsafeSettings: others may read the releasing key.
        """
        path = self.home.edition_keys
        if not path.exists():
            durable.replace(path, f"{self.signer.vkey}\n{self._releaser().vkey}\n".encode())
        return path.read_text(encoding="ascii").split()

    def _releaser(self) -> Signer:
        """Read the releasing key. It may lie on another machine than the one that builds: nothing but `publish` needs it."""
        path = self._release_file
        if not path.exists() and not (self.home.edition_keys).exists():
            durable.folder(path.parent)
            seed = base64.b64encode(secrets.token_bytes(32)).decode()
            durable.replace(path, msgspec.json.encode({"version": 1, "seed": seed}) + b"\n")
        try:
            if path.stat().st_mode & 0o077:
                raise UnsafeSettings("The releasing key can be read by others.", where=path.name, mend=f"Run: chmod 600 {path}")
            seed = msgspec.json.decode(path.read_bytes(), type=_ReleaseFile).seed
            return Signer(RELEASE_NAME, base64.b64decode(seed, validate=True))
        except FileNotFoundError:
            raise NotFound(
                "The releasing key is not here.", where=path.name, mend="Give its file: --release-key FILE"
            ) from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise Corrupt("The file of the releasing key is damaged.", where=path.name) from error

    def pointing(self, edition: str, epoch: int) -> Pointing:
        """Return what makes an edition's points of sealed keys."""
        return partial(points_of, self.keys.sealed("live"), EditionKey(self.edition_key(edition, epoch)))

    def build(self, db: psycopg.Connection[Any], scheme: str) -> Built:
        """Build an edition of a scheme from the register's present state and sign it once.

        Raises:
            NotFound, Conflict: see `read_universe`.
            Corrupt: it did not answer as the register does; nothing is kept.
        """
        for attempt in range(1, BUILD_TRIES + 1):
            edition = secrets.token_hex(16)
            folder = self._built / edition
            durable.folder(folder)
            try:
                return self._build_once(db, scheme, edition, folder)
            except Unlucky:
                shutil.rmtree(folder)
                if attempt == BUILD_TRIES:
                    raise
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _build_once(self, db: psycopg.Connection[Any], scheme: str, edition: str, folder: Path) -> Built:
        self.public_keys()
        epoch = self.keys.epoch
        secret = self.edition_key(edition, epoch)
        universe = read_universe(db, self.home, scheme, self.pointing(edition, epoch))
        self.keys.require_epoch(universe.key_epoch)
        form = EXACT if universe.whole else FINGERPRINT
        about = About(bytes.fromhex(edition), universe.position, universe.last_day, form)
        made = build(universe.cohorts, about, folder / EDITION_FILE)
        durable.replace(folder / DIGESTS_FILE, made.digests)
        manifest = self._manifest(universe, edition, form, made, key_check(secret, self.keys.carried("live")))
        durable.replace(folder / MANIFEST_FILE, sign_note(line(manifest), self.signer))
        return Built(manifest, universe.left_out)

    def _manifest(self, universe: Universe, edition: str, form: int, made: Made, check: str) -> Manifest:
        before = self.newest(universe.scheme)
        note = b"" if before is None else (self.published / before.edition / MANIFEST_FILE).read_bytes()
        now_us = self.now_us()
        return Manifest(
            edition=edition,
            scheme=universe.scheme,
            form=_FORMS[form],
            serial=1 if before is None else before.serial + 1,
            previous=hashlib.sha256(note).hexdigest() if note else "",
            position=universe.position,
            last_day=universe.last_day,
            made_at_us=now_us,
            expires_at_us=now_us + EXPIRES_US,
            key_epoch=universe.key_epoch,
            key_check=check,
            issued=made.issued,
            listed=made.listed,
            bytes=made.size,
            entropy_bytes=round(made.entropy_bytes),
            asked_again=made.asked_again,
            wrong=made.wrong,
            sha256=made.sha256,
            digests_sha256=hashlib.sha256(made.digests).hexdigest(),
        )

    # -- publication -----------------------------------------------------------------------------------------------------

    def index(self) -> Index:
        """Return what is published."""
        try:
            return msgspec.json.decode((self.published / INDEX_FILE).read_bytes(), type=Index)
        except FileNotFoundError:
            return Index()

    def newest(self, scheme: str) -> Entry | None:
        """Return the newest published edition of a scheme."""
        return next((entry for entry in self.index().editions if entry.scheme == scheme), None)

    def waiting(self) -> list[Manifest]:
        """Return what was built and not published, newest first."""
        found = [self._signed_once(folder) for folder in self._built.glob("*") if (folder / MANIFEST_FILE).exists()]
        return sorted(found, key=lambda manifest: manifest.made_at_us, reverse=True)

    def _signed_once(self, folder: Path) -> Manifest:
        return open_signed((folder / MANIFEST_FILE).read_bytes(), Role((self.signer.verifier,), 1), Manifest)

    def publish(self, db: psycopg.Connection[Any], edition: str | None = None) -> Manifest:
        """Release a built edition by the second key and put it in its place.

        The file is hashed again: what was signed is what is released. Publishing twice is no error.

        Args:
            edition: its id; by default the newest that was built.

        Raises:
            NotFound: there is none.
            Corrupt: its file is not the one that was asked again.
            Conflict: another edition of the scheme was published since it was built.
        """
        waiting = self.waiting()
        chosen = next((each for each in waiting if edition in (None, each.edition)), None)
        if chosen is None:
            if edition is not None and any(entry.edition == edition for entry in self.index().editions):
                return self._released(edition)
            raise NotFound("There is no such edition to publish.", where=edition, mend="Run: annul edition build")
        releaser = self._releaser()
        folder = self._built / chosen.edition
        with (folder / EDITION_FILE).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != chosen.sha256 or chosen.wrong or chosen.asked_again != chosen.issued:
            raise Corrupt("The file is not the one that was asked again.", where=chosen.edition, mend="Build it again.")
        newest = self.newest(chosen.scheme)
        if (0 if newest is None else newest.serial) + 1 != chosen.serial:
            raise Conflict("Another edition was published since this one was built.", mend="Run: annul edition build")
        durable.replace(folder / MANIFEST_FILE, sign_note(line(chosen), self.signer, releaser))
        self._grant_all(db, chosen, folder)
        durable.move(folder, self.published / chosen.edition)
        entry = Entry(
            chosen.edition,
            chosen.scheme,
            chosen.serial,
            chosen.position,
            chosen.issued,
            chosen.listed,
            chosen.bytes,
            chosen.made_at_us,
            chosen.expires_at_us,
        )
        self.write_index(Index((entry, *self.index().editions)))
        self.beat(db)
        return chosen

    def _released(self, edition: str) -> Manifest:
        trust = Trust.of_lines(self.public_keys())
        return open_signed((self.published / edition / MANIFEST_FILE).read_bytes(), trust.editions, Manifest)

    def show(self, edition: str) -> Manifest:
        """Return the manifest of an edition, built or published; NotFound when there is none."""
        for manifest in self.waiting():
            if manifest.edition == edition:
                return manifest
        if any(entry.edition == edition for entry in self.index().editions):
            return self._released(edition)
        raise NotFound("There is no such edition.", where=edition, mend="Run: annul edition list")

    def write_index(self, index: Index) -> None:
        """Replace the index."""
        durable.replace(self.published / INDEX_FILE, msgspec.json.encode(index))

    def beat(self, db: psycopg.Connection[Any]) -> Heartbeat:
        """Sign where the register log stands now; called again and again, it is what tells edges that nothing is missing.

        Several processes beat: who comes second waits, so that none puts an older one in the place of a newer.
        """
        newest: dict[str, int] = {}
        for entry in self.index().editions:
            newest.setdefault(entry.scheme, entry.serial)
        durable.folder(self.published)
        with (self.home.editions / "beat.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            at_us = self.now_us()  # before the head is read: what is entered later is later than this
            row = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
            heartbeat = Heartbeat(position=int(row[0]) if row else 0, at_us=at_us, editions=newest)
            durable.replace_lossy(self.published / HEARTBEAT_FILE, sign_note(line(heartbeat), self.signer))
        return heartbeat

    # -- edges -----------------------------------------------------------------------------------------------------------

    def admit(self, db: psycopg.Connection[Any], name: str, party: str, vkey: str, days: int) -> None:
        """Let a device read the editions that are published and those to come, for some days.

        Args:
            name: of the edge; also the name of its key.
            vkey: verifier key of the device's own key.
            days: 1 to 366.

        Raises:
            BadInput: no name, key or number of days.
            Conflict: the name or key is known, or there are too many edges.
        """
        verifier = Verifier.parse(vkey)
        if not NAME.fullmatch(name) or verifier.name != name:
            raise BadInput("An edge's name has letters, digits, dots and hyphens, and is that of its key.", where="name")
        if not 1 <= days <= 366:
            raise BadInput("An edge is admitted for 1 to 366 days.", where="days")
        now_us = self.now_us()
        try:
            with db.transaction():
                count = db.execute("SELECT count(*) FROM edge WHERE withdrawn_at_us IS NULL AND until_us > %s", (now_us,))
                row = count.fetchone()
                if row is not None and row[0] >= EDGES_MAX:
                    raise Conflict("There are as many edges as there may be.", where="edges", mend="Withdraw some.")
                db.execute(
                    "INSERT INTO edge (name, party, vkey, admitted_at_us, until_us) VALUES (%s, %s, %s, %s, %s)",
                    (name, party, vkey.strip(), now_us, now_us + days * DAY_US),
                )
        except psycopg.errors.UniqueViolation as known:
            raise Conflict("An edge of this name or key was admitted before.", where=name) from known
        self.grant(db)

    def withdraw(self, db: psycopg.Connection[Any], name: str) -> None:
        """Admit an edge no more: the next edition has no grant for it. NotFound when it is not admitted."""
        done = db.execute(
            "UPDATE edge SET withdrawn_at_us = %s WHERE name = %s AND withdrawn_at_us IS NULL", (self.now_us(), name)
        )
        if done.rowcount != 1:
            raise NotFound("There is no such edge.", where=name)
        for entry in self.index().editions:
            (self.published / entry.edition / f"grant-{name}").unlink(missing_ok=True)

    def grant(self, db: psycopg.Connection[Any]) -> None:
        """Write the grants that published editions still lack; those of an older key epoch stay as they are."""
        for entry in self.index().editions:
            manifest = self._released(entry.edition)
            if manifest.key_epoch == self.keys.epoch and manifest.expires_at_us > self.now_us():
                self._grant_all(db, manifest, self.published / entry.edition)

    def _grant_all(self, db: psycopg.Connection[Any], manifest: Manifest, folder: Path) -> None:
        now_us = self.now_us()
        rows = db.execute("SELECT name, vkey, until_us FROM edge WHERE withdrawn_at_us IS NULL AND until_us > %s", (now_us,))
        secret, carried = self.edition_key(manifest.edition, manifest.key_epoch), self.keys.carried("live")
        for name, vkey, until_us in rows.fetchall():
            if not (folder / f"grant-{name}").exists():
                grant = Grant(
                    edition=manifest.edition, key=secret.hex(), carried=[each.hex() for each in carried], until_us=until_us
                )
                durable.replace(folder / f"grant-{name}", sealed_to(vkey, grant))


def sealed_to(vkey: str, grant: Grant) -> bytes:
    """Seal a grant to a device's key (Ed25519, taken as X25519; libsodium's sealed box)."""
    public = nacl.signing.VerifyKey(Verifier.parse(vkey).public_key).to_curve25519_public_key()
    return bytes(nacl.public.SealedBox(public).encrypt(msgspec.json.encode(grant)))


def line(made: Manifest | Supplement | Heartbeat | Frame) -> bytes:
    """Return the text of a manifest: one line of JSON, members in order."""
    return msgspec.json.encode(made, order="sorted") + b"\n"


class _ReleaseFile(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    seed: str
