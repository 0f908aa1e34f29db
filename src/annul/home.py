"""Name every file of the data folder: what it is, who writes it, whether it may be lost, whether a backup needs it.

    home = Home(".annul")
    home.checks / "00"          the check log of worker 0

`PARTS` is the table; docs/operate.md shows it, and a test holds the two together. Nobody else joins names to the home.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Final


@dataclass(frozen=True, slots=True)
class Part:
    """Describe one thing in the data folder.

    Args:
        path: below the home; a folder ends in "/".
        what: what it is, for the operator.
        writer: who writes it.
        lost: what its loss means.
        backup: whether a backup needs it: "yes", "apart" (with the keys, away from the rest) or "no".
    """

    path: str
    what: str
    writer: str
    lost: str
    backup: str


PARTS: Final = (
    Part("annul.toml", "settings, with passwords", "the operator, `annul setup`", "the defaults hold", "apart"),
    Part("backup.json", "where and when the last backup was taken", "`annul backup`", "doctor asks for one", "no"),
    Part("demo.json", "credentials and samples of a demo", "`annul demo`", "the demo begins anew", "no"),
    Part(
        "keys/secret.json",
        "document secrets, signing keys, the key that seals",
        "`annul setup`, `annul keys rotate`, `annul keys rotate-signing`",
        "everything: numbers cannot be keyed any more, nor receipts signed",
        "apart",
    ),
    Part(
        "keys/people.json",
        "key set of persons",
        "`annul setup`, `annul person rotate-key`",
        "nobody can read the register of persons again",
        "apart",
    ),
    Part(
        "keys/witness.json",
        "keys of the witness this annul is for others",
        "`annul witness serve`",
        "whoever trusts this witness must learn new keys",
        "apart",
    ),
    Part("keys/annul.pub", "public keys", "with `secret.json`", "made anew from it", "apart"),
    Part(
        "keys/acknowledged",
        "how far the register was when it acknowledged last",
        "follower",
        "a start waits for the database once",
        "no",
    ),
    Part("keys/release.json", "key that releases editions", "`annul edition build`", "edges must be given a new one", "apart"),
    Part("keys/editions.pub", "public keys of editions", "`annul edition build`", "edges cannot be made", "apart"),
    Part("postgres/", "the embedded PostgreSQL", "the database", "the register", "yes"),
    Part(
        "listings/", "the table every check looks into, snapshot of credentials", "follower", "rebuilt from the register", "no"
    ),
    Part("listings/segments/", "lists in force", "follower, `annul import`", "those lists", "yes"),
    Part("listings/staging/", "lists that are being read", "`annul import`, uploads", "the list is read again", "no"),
    Part("listings/uploads/", "lists that came through a browser", "workers", "the list is sent again", "no"),
    Part(
        "listings/behind", "note that the register was written without the follower", "commands", "a start waits longer", "no"
    ),
    Part("people/", "names by keyed number, for checks", "follower", "rebuilt from the register", "no"),
    Part("checks/", "check log, one folder a worker", "workers", "the account of who asked what", "yes"),
    Part(
        "screenings/", "files that are screened: how far, and their receipts", "`annul screen`", "the receipts are gone", "yes"
    ),
    Part("log/", "both sealed logs as static files", "sealer", "the proof", "yes"),
    Part(
        "witness/logs/",
        "what was cosigned last of every log that is watched",
        "`annul witness add`, `annul witness serve`",
        "the witness could cosign a fork: make new keys then",
        "yes",
    ),
    Part("witness/asked", "witnesses this register asks", "`annul witness add`", "none are asked", "yes"),
    Part("editions/", "editions, built and published", "`annul edition`", "built again; edges fetch them anew", "yes"),
    Part("editions/feed/", "what changed, frame by frame, the newest 64 MiB", "follower", "edges take supplements", "no"),
    Part("conduct/", "checks by columns, a file a day, for reconciling", "`annul conduct`", "made again from the index", "no"),
    Part("run/", "sockets, process ids, counts, alarms that wait", "all", "made anew at a start", "no"),
)
"""Everything that stands in the data folder, in the order of docs/operate.md."""


class Home(PosixPath):
    """The data folder. It is a path itself; each property is one thing in it, and none is made by asking."""

    @property
    def settings_file(self) -> Path:
        """Settings in TOML."""
        return Path(self, "annul.toml")

    @property
    def backed_up(self) -> Path:
        """Note of the last backup."""
        return Path(self, "backup.json")

    @property
    def demo(self) -> Path:
        """Credentials and samples of a demo; only a demo has it."""
        return Path(self, "demo.json")

    @property
    def keys(self) -> Path:
        """Folder of all secrets (0700)."""
        return Path(self, "keys")

    @property
    def secret_keys(self) -> Path:
        """Document secrets and signing keys (0600)."""
        return Path(self, "keys", "secret.json")

    @property
    def public_keys(self) -> Path:
        """Public keys, one a line; everybody may read it."""
        return Path(self, "keys", "annul.pub")

    @property
    def person_keys(self) -> Path:
        """Key set under which the keys of persons are wrapped (0600)."""
        return Path(self, "keys", "people.json")

    @property
    def witness_keys(self) -> Path:
        """Keys of the witness this annul is for other registers (0600)."""
        return Path(self, "keys", "witness.json")

    @property
    def acknowledged(self) -> Path:
        """How far the register was when it acknowledged last; kept apart from what it anchors."""
        return Path(self, "keys", "acknowledged")

    @property
    def release_key(self) -> Path:
        """Key that releases editions (0600); may be kept elsewhere."""
        return Path(self, "keys", "release.json")

    @property
    def edition_keys(self) -> Path:
        """Public keys of editions, one a line."""
        return Path(self, "keys", "editions.pub")

    @property
    def editions(self) -> Path:
        """Folder of editions, built and published."""
        return Path(self, "editions")

    @property
    def published(self) -> Path:
        """Folder of published editions: what the doors give out as it is."""
        return Path(self, "editions", "published")

    @property
    def screenings(self) -> Path:
        """Folder of files that are screened: one folder each."""
        return Path(self, "screenings")

    @property
    def feed(self) -> Path:
        """Folder of the feed's frames."""
        return Path(self, "editions", "feed")

    @property
    def postgres(self) -> Path:
        """Folder of the embedded PostgreSQL."""
        return Path(self, "postgres")

    @property
    def listings(self) -> Path:
        """Folder of the table every check looks into."""
        return Path(self, "listings")

    @property
    def segments(self) -> Path:
        """Folder of the lists in force."""
        return Path(self, "listings", "segments")

    @property
    def staging(self) -> Path:
        """Folder of lists that are being read."""
        return Path(self, "listings", "staging")

    @property
    def uploads(self) -> Path:
        """Folder of lists that came through a browser."""
        return Path(self, "listings", "uploads")

    @property
    def behind(self) -> Path:
        """Note that the register was written without the follower."""
        return Path(self, "listings", "behind")

    @property
    def writer_lock(self) -> Path:
        """Lock of who writes the listings."""
        return Path(self, "listings", "writer.lock")

    @property
    def people(self) -> Path:
        """Folder of the table of names."""
        return Path(self, "people")

    @property
    def checks(self) -> Path:
        """Folder of the check log, with a folder for each worker."""
        return Path(self, "checks")

    def log(self, name: str) -> Path:
        """Return the folder of a sealed log, "register" or "checks"."""
        return Path(self, "log", name)

    @property
    def logs(self) -> Path:
        """Folder of both sealed logs."""
        return Path(self, "log")

    @property
    def sealed_cursor(self) -> Path:
        """How far the check log is sealed; may be behind."""
        return Path(self, "log", "checks.cursor")

    def witnessed(self, name: str) -> Path:
        """Return the newest checkpoint of a sealed log that witnesses cosigned."""
        return Path(self, "log", f"{name}.witnessed")

    @property
    def watched(self) -> Path:
        """Folder of what a witness knows of the logs it watches."""
        return Path(self, "witness", "logs")

    @property
    def witnesses(self) -> Path:
        """List of the witnesses this register asks."""
        return Path(self, "witness", "asked")

    @property
    def conduct(self) -> Path:
        """Folder of checks by columns: copies of the index, a file a day."""
        return Path(self, "conduct")

    @property
    def run(self) -> Path:
        """Folder of what a start makes anew."""
        return Path(self, "run")

    @property
    def state(self) -> Path:
        """Address and processes of the annul that runs."""
        return Path(self, "run", "annul.json")

    @property
    def lock(self) -> Path:
        """Lock of the annul that runs."""
        return Path(self, "run", "annul.lock")

    @property
    def corrupt(self) -> Path:
        """List of files that were found damaged."""
        return Path(self, "run", "corrupt.json")

    @property
    def metrics(self) -> Path:
        """Folder of the counts of all processes."""
        return Path(self, "run", "metrics")

    @property
    def quota(self) -> Path:
        """What parties have used of their quota, shared by the workers."""
        return Path(self, "run", "quota")

    @property
    def connections(self) -> Path:
        """How many connections each worker has."""
        return Path(self, "run", "connections")

    @property
    def attempts(self) -> Path:
        """How often bearers were compared, shared by the workers."""
        return Path(self, "run", "attempts")

    @property
    def alarms(self) -> Path:
        """Folder of alarms of the check path that wait to be entered."""
        return Path(self, "run", "alarms")
