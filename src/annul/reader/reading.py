"""What a reading gives: the document to ask about, the holder, the portrait, and what the chip proved.

A `Reading` lives in memory. It prints itself without any value, so that it may stand in a log line or a traceback
by accident and tell nothing.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum

from annul.reader.datagroups import Portrait
from annul.reader.passive import PassiveAuthentication, PassiveVerdict
from annul.records.document import DocumentFields
from annul.records.mrz import LONG_TERM, Mrz
from annul.records.scheme import ZONE_SCHEME


class Means(StrEnum):
    """How the data came in."""

    ZONE_TYPED = "zone_typed"
    ZONE_PHOTO = "zone_photo"
    CHIP = "chip"
    RESIDENT_CHIP = "resident_chip"
    RESIDENT_PHOTO = "resident_photo"


class Assurance(StrEnum):
    """How far the data may be relied on, weakest first."""

    TYPING_AID = "typing_aid"
    """Typed or seen by a camera: saves typing, proves nothing. The clerk compares it with the document."""
    CARD_DATA = "card_data"
    """Told by a chip, its origin not proved here."""
    SIGNED = "signed"
    """A known state signed exactly this data; it may be a copy of the chip."""
    SIGNED_SAME_CHIP = "signed_same_chip"
    """Signed, and the chip proved that it holds the key that only this chip has."""


class ChipAuthentication(StrEnum):
    """Whether the chip proved that it is the one the data was written to."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"


class ActiveAuthentication(StrEnum):
    """Whether the chip signed a fresh number with the key of DG15."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"


class AccessList(StrEnum):
    """Whether the signed copy confirms what the chip offered before it was opened (against a forged downgrade)."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class ChipEvidence:
    """What the chip proved.

    Attributes:
        access: "PACE", "PACE-CAM" (with chip authentication mapping, whose proof held under a signed key), "BAC" or "open".
        passive: findings of passive authentication.
        chip_authentication: whether the chip holds its private key.
        access_list: whether EF.CardAccess is confirmed by the signed DG14.
        print_agrees: the zone in the chip is the zone that was read from the print; None when only its key was given.
        active_authentication: whether the chip signed a fresh number.
    """

    access: str
    passive: PassiveAuthentication
    chip_authentication: ChipAuthentication
    access_list: AccessList = AccessList.UNSIGNED
    print_agrees: bool | None = None
    active_authentication: ActiveAuthentication = ActiveAuthentication.ABSENT

    @property
    def genuine(self) -> bool:
        """Signed by a known state, signer in force."""
        return self.passive.genuine

    @property
    def unaltered(self) -> bool:
        """No data group that was read differs from what was signed, as far as that could be verified."""
        wrong = {
            PassiveVerdict.ALTERED,
            PassiveVerdict.BAD_SIGNATURE,
            PassiveVerdict.MALFORMED,
            PassiveVerdict.CANNOT_VERIFY,
        }
        return self.passive.verdict is not PassiveVerdict.NOT_DONE and not wrong & set(self.passive.failures)

    @property
    def same_chip(self) -> bool:
        """A signed key is in this very chip, by one of the two proofs; one that failed is not outweighed by the other."""
        proofs = ((14, self.chip_authentication.value), (15, self.active_authentication.value))
        if not self.genuine or any(found == "failed" for _, found in proofs):
            return False
        if self.access == "PACE-CAM":
            return True
        return any(found == "passed" and self.passive.groups.get(group, False) for group, found in proofs)


@dataclass(frozen=True, slots=True, repr=False)
class HolderFields:
    """The holder as the document names him or her; "" where the document does not say.

    Attributes:
        name: as printed; "PRIMARY, SECONDARY" for travel documents; in the document's own script where that is how its
            register writes it (Cyrillic, Chinese).
        primary, secondary: the parts of the name where the document tells them apart.
        sex: F or M.
        birth_date: YYYY-MM-DD, or YYYY-MM, YYYY, --MM-DD when the document knows less.
        birth_other: the same date a century earlier, where a zone's two digits leave both open: ask which (`birth_century`).
        nationality: code of Doc 9303 for travel documents, CHN for resident cards.
        personal_number: the citizen number of a resident card.
        ethnicity, address: of a resident card only.
        name_cut: the name fills its field and may be cut.
        native_name: the same name in the letters of its language, where the document has both.
    """

    name: str = ""
    primary: str = ""
    secondary: str = ""
    sex: str = ""
    birth_date: str = ""
    nationality: str = ""
    personal_number: str = ""
    ethnicity: str = ""
    address: str = ""
    name_cut: bool = False
    native_name: str = ""
    birth_other: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """The result of every way of reading.

    Attributes:
        means: how it was read.
        assurance: how far it may be relied on.
        document: fills a check as it is.
        holder: the person the document names.
        read_at: UTC.
        valid_until: last day of validity, YYYY-MM-DD, "long-term" or "".
        portrait: the chip's image, in memory only.
        chip: what the chip proved; None where no chip of Doc 9303 was read.
        notes: short codes of what the clerk should know (`names_cut`, `expired`, `front_only`, …); docs/reader.md lists them.
        form: name of the document's form; "" where it is not told.
        zone: lines of the zone as it was read; a document may also be asked about by them alone.
        permit_number: travel permit that stands on a residence permit of a resident of Hong Kong, Macao or Taiwan.
        times_issued: how often the card was issued or renewed; 0 where it is not told.
    """

    means: Means
    assurance: Assurance
    document: DocumentFields
    holder: HolderFields
    read_at: datetime.datetime
    valid_until: str = ""
    portrait: Portrait | None = None
    chip: ChipEvidence | None = None
    notes: tuple[str, ...] = ()
    form: str = ""
    permit_number: str = ""
    times_issued: int = 0
    zone: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Reading(means={self.means.value}, assurance={self.assurance.value})"


def of_zone(zone: Mrz, means: Means, at: datetime.datetime) -> Reading:
    """Make a reading of a machine-readable zone.

    Args:
        zone: the parsed zone.
        means: how it came in.
        at: time of the reading, UTC.
    """
    notes = list(zone.remarks)
    if zone.names_cut:
        notes.append("names_cut")
    if zone.is_visa:
        notes.append("visa")
    if zone.expiry and zone.expiry != LONG_TERM and zone.expiry < at.date().isoformat():
        notes.append("expired")
    document = zone.document()
    if document.scheme == ZONE_SCHEME:
        document.mrz = list(zone.lines)
    holder = HolderFields(
        name=zone.native if zone.form.own_script and zone.native else zone.name,
        primary=zone.primary,
        secondary=zone.secondary,
        sex=zone.sex,
        birth_date=zone.birth,
        nationality=zone.nationality,
        name_cut=zone.names_cut,
        native_name=zone.native,
        birth_other=zone.birth_other,
    )
    return Reading(
        means=means,
        assurance=Assurance.TYPING_AID,
        document=document,
        holder=holder,
        read_at=at,
        valid_until=zone.expiry,
        notes=tuple(notes),
        form=zone.form.name,
        zone=zone.lines,
    )
