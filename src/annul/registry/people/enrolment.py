"""Enrolment: portraits and fingerprint templates of persons, with the consent they rest on; stored sealed, given out rarely.

A portrait leaves only for a check that was just made and matched (`portrait`), marked with that check's number. Templates
leave only towards the comparison (`template`). Replaced, withdrawn or erased traits keep a row without bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Conflict, NotFound, TooLarge
from annul.records.document import Document
from annul.records.entry import Entry, EntryKind
from annul.records.names import same
from annul.records.person import CivilEvent, PersonBody
from annul.records.references import Given
from annul.registry.people import rows
from annul.registry.people.register import People
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault, seal, trait_context, unseal
from annul.registry.people.views import PersonRecorded
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, Write, reading

IMAGE_BYTES_MAX: Final = 512 * 1024
"""Largest portrait; Doc 9303-9 expects 12 to 20 kB in a chip, a camera's compressed face is some 200 kB."""
IMAGE_SIDE_MIN: Final = 120
IMAGE_SIDE_MAX: Final = 4_000
"""Pixels of a side. Source: ISO/IEC 19794-5 asks for 90 pixels between the eyes, about 180 pixels of width."""
FACE_QUALITY_MIN: Final = 40
"""Least quality of a portrait (0 to 100, ISO/IEC 29794-5 by the caller's tool)."""
FINGER_QUALITY_MIN: Final = 20
"""Least NFIQ 2 quality of a finger (0 to 100); below it more than half of the comparisons fail."""
MARK_SIDE_MAX: Final = 480
"""Longest side of a portrait that is given out: enough to compare with a bearer, too little to enrol elsewhere."""

_IMAGES: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/jp2": "JPEG2000"}

Quality = Annotated[int, Meta(ge=0, le=100)]


class Consent(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Say on what an enrolment rests.

    Args:
        basis: the holder's consent, a guardian's for a child, or a law that asks for it.
        evidence: reference of the signed form or the law; no personal data.
        scope: what may be kept.
    """

    basis: Literal["holder", "guardian", "law"]
    evidence: Given
    scope: Literal["face", "fingers", "face_and_fingers"] = "face_and_fingers"


class Face(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A portrait (JPEG, PNG or JPEG 2000; base64 on the wire) and its quality as the capture tool found it.

    Args:
        image: the portrait, JPEG or PNG in base64.
        media: media type of the image.
        quality: quality of the sample, 0 to 100.
    """

    image: bytes
    media: Literal["image/jpeg", "image/png", "image/jp2"]
    quality: Quality


class Finger(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A finger (1 right thumb to 10 left little, ISO/IEC 19794-2), its template in that format, and its NFIQ 2 quality.

    Args:
        finger: which finger, by ISO/IEC 19794-2 (1 right thumb to 10 left little finger).
        template: template of the finger, ISO/IEC 19794-2, base64.
        quality: quality of the sample, 0 to 100.
    """

    finger: Annotated[int, Meta(ge=1, le=10)]
    template: bytes
    quality: Quality


class EnrolmentView(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one enrolled trait without its bytes."""

    id: str
    trait: str
    finger: int
    quality: int
    media: str
    consent: str
    enrolled_at_us: int
    ended: str | None


class ForComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Traits on record of one holder: empty where there are none; `position` of the entry that accounts for their use."""

    portrait: bytes = b""
    templates: list[bytes] = msgspec.field(default_factory=list)
    position: int | None = None

    def __repr__(self) -> str:
        return "ForComparison(…)"


class Enrolments:
    """Enrol persons, withdraw enrolments, and give traits to those who may have them.

    Args:
        ground: what every part stands on.
        people: the register of persons.
        vault: persons' keys.
    """

    def __init__(self, ground: Ground, people: People, vault: Vault) -> None:
        self._connections, self._people, self._vault = ground.connections, people, vault

    async def enrol(
        self, act: Act, number: str, consent: Consent, *, face: Face | None = None, fingers: Sequence[Finger] = ()
    ) -> PersonRecorded:
        """Store traits under a consent; those of the same kind that are on record are replaced.

        Raises:
            BadInput: no trait, a poor one, one outside the consent's scope, or bytes that are not what they claim.
            NotFound, Conflict: the number has no person, or several.
        """
        await asyncio.to_thread(_require, consent, face, fingers)
        traits: list[tuple[str, int, int, str, bytes]] = []
        if face is not None:
            traits.append(("face", 0, face.quality, face.media, face.image))
        traits += [("finger", each.finger, each.quality, "application/iso19794-2", each.template) for each in fingers]

        async def body(write: Write) -> PersonRecorded:
            row = await self._people.one_of(write.db, act, number)
            key = self._vault.unwrap(row.wrapped_key, row.id)
            sealed = []
            for trait in traits:
                trait_id = "t_" + secrets.token_hex(12)
                sealed.append((trait_id, *trait[:4], seal(key, trait[4], trait_context(row.id, trait_id))))
            whole = hashlib.sha256(b"".join(hashlib.sha256(each[5]).digest() for each in sealed)).digest()
            position = self._append(write, act, CivilEvent.enrolment, row, consent.evidence, whole)
            consent_id = "c_" + secrets.token_hex(12)
            await write.run(
                "INSERT INTO consent (id, person_id, scope, basis, evidence, author, given_at_us, position) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                consent_id,
                row.id,
                consent.scope,
                consent.basis,
                consent.evidence,
                act.author,
                write.recorded_at_us,
                position,
            )
            if face is not None:
                await write.run("DELETE FROM face_vector WHERE person_id = %s", row.id)
            for trait_id, trait_kind, finger, quality, media, ciphertext in sealed:
                await write.run(
                    "UPDATE enrolment SET ended = 'replaced', ended_at_us = %s, ciphertext = NULL "
                    "WHERE person_id = %s AND trait = %s AND finger = %s AND ended IS NULL",
                    write.recorded_at_us,
                    row.id,
                    trait_kind,
                    finger,
                )
                await write.run(
                    "INSERT INTO enrolment (id, person_id, consent_id, trait, finger, quality, media, ciphertext, hash, "
                    "enrolled_at_us, position) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    trait_id,
                    row.id,
                    consent_id,
                    trait_kind,
                    finger,
                    quality,
                    media,
                    ciphertext,
                    hashlib.sha256(ciphertext).digest(),
                    write.recorded_at_us,
                    position,
                )
            await self._tell(write, act, row, CivilEvent.enrolment, consent.evidence, position)
            return PersonRecorded(person=row.id, position=position)

        return await self._people.write(act, None, consent.evidence, body)

    async def withdraw(self, act: Act, number: str, *, evidence: str) -> PersonRecorded:
        """Withdraw a person's consents: every trait on record is destroyed, that there were some stays on record.

        Raises:
            Conflict: nothing is enrolled.
        """

        async def body(write: Write) -> PersonRecorded:
            row = await self._people.one_of(write.db, act, number)
            position = self._append(write, act, CivilEvent.withdrawal, row, evidence, bytes(32))
            ended = await write.run(
                "UPDATE enrolment SET ended = 'withdrawn', ended_at_us = %s, ciphertext = NULL "
                "WHERE person_id = %s AND ended IS NULL",
                write.recorded_at_us,
                row.id,
            )
            if not ended:
                raise Conflict("Nothing of this person is enrolled.")
            await write.run("DELETE FROM face_vector WHERE person_id = %s", row.id)
            await write.run(
                "UPDATE consent SET withdrawn_at_us = %s, withdrawn_position = %s "
                "WHERE person_id = %s AND withdrawn_at_us IS NULL",
                write.recorded_at_us,
                position,
                row.id,
            )
            await self._tell(write, act, row, CivilEvent.withdrawal, evidence, position)
            return PersonRecorded(person=row.id, position=position)

        return await self._people.write(act, None, evidence, body)

    async def enrolled(self, act: Act, number: str) -> list[EnrolmentView]:
        """Return what is, and what was, enrolled of a person; no bytes."""
        async with reading(self._connections) as db:
            row = await self._people.one_of(db, act, number)
            found = await db.execute(
                "SELECT id, trait, finger, quality, media, consent_id, enrolled_at_us, ended FROM enrolment "
                "WHERE person_id = %s ORDER BY enrolled_at_us, trait, finger",
                (row.id,),
            )
            lines = await found.fetchall()
        return [EnrolmentView(**dict(zip(EnrolmentView.__struct_fields__, line, strict=True))) for line in lines]

    async def templates(self, act: Act, number: str) -> list[tuple[int, bytes]]:
        """Return (finger, template) of a person's enrolled fingers, for the comparison alone; NotFound when there is none."""
        found = await self._traits(act, number, "finger")
        return [(finger, template) for finger, _, template in found]

    async def portrait_of(self, act: Act, document: Document, *, mark: str) -> bytes:
        """Return the portrait of a document's holder as JPEG, no larger than it takes to compare it with a bearer.

        That it is given out is entered in the log first.

        Args:
            mark: number of the check it is given out for; it is written all over the portrait.

        Raises:
            NotFound: there is no portrait on record; why is not told.
        """
        async with reading(self._connections) as db:
            key = await self._people.key_of(db, act, document)
            people = [] if key is None else await rows.by_key(db, act.realm_code, key)
            found = await self._sealed(db, people[0], "face") if len(people) == 1 else []
        if key is None or not found:
            raise NotFound("There is no portrait on record.")
        await self._people.account(act, key, f"portrait for check {mark}")
        row, (_, trait_id, _, sealed) = people[0], found[0]
        image = unseal(self._vault.unwrap(row.wrapped_key, row.id), sealed, trait_context(row.id, trait_id))
        return await asyncio.to_thread(marked, image, mark)

    async def portrait_of_row(self, row: PersonRow, *, mark: str) -> bytes:
        """Return a record's portrait as JPEG, marked, for an officer whose look-up is in the log already.

        Raises:
            NotFound: there is no portrait on record.
        """
        async with reading(self._connections) as db:
            found = await self._sealed(db, row, "face")
        if not found:
            raise NotFound("There is no portrait on record.")
        _, trait_id, _, sealed = found[0]
        image = unseal(self._vault.unwrap(row.wrapped_key, row.id), sealed, trait_context(row.id, trait_id))
        return await asyncio.to_thread(marked, image, mark)

    async def for_comparison(self, act: Act, document: Document, name: str, *, face: bool, fingers: bool) -> ForComparison:
        """Return what is enrolled of a document's holder, towards the comparison with a bearer alone: it must not leave.

        Nothing is given for a name that is not the holder's, so that nobody finds out by traits whose number it is. That
        something is used is entered in the log first.
        """
        async with reading(self._connections) as db:
            key = await self._people.key_of(db, act, document)
            people = [] if key is None else await rows.by_key(db, act.realm_code, key)
            if key is None or len(people) != 1:
                return ForComparison()
            row = people[0]
            if not any(same(each.text, name) for each in rows.open_row(row, self._vault).names):
                return ForComparison()
            portraits = await self._sealed(db, row, "face") if face else []
            prints = await self._sealed(db, row, "finger") if fingers else []
        if not portraits and not prints:
            return ForComparison()
        position = await self._people.account(act, key, "comparison with a bearer")
        secret = self._vault.unwrap(row.wrapped_key, row.id)
        opened = [unseal(secret, sealed, trait_context(row.id, trait_id)) for _, trait_id, _, sealed in (*portraits, *prints)]
        count = len(portraits)
        return ForComparison(portrait=opened[0] if count else b"", templates=opened[count:], position=position)

    async def _traits(self, act: Act, number: str, trait: str) -> list[tuple[int, str, bytes]]:
        async with reading(self._connections) as db:
            row = await self._people.one_of(db, act, number)
            found = await self._sealed(db, row, trait)
        if not found:
            raise NotFound("Nothing of this kind is enrolled.")
        key = self._vault.unwrap(row.wrapped_key, row.id)
        return [
            (finger, media, unseal(key, sealed, trait_context(row.id, trait_id))) for finger, trait_id, media, sealed in found
        ]

    async def _sealed(self, db: Connection, row: PersonRow, trait: str) -> list[tuple[int, str, str, bytes]]:
        found = await db.execute(
            "SELECT finger, id, media, ciphertext FROM enrolment WHERE person_id = %s AND trait = %s AND ended IS NULL "
            "ORDER BY finger",
            (row.id, trait),
        )
        return [(finger, trait_id, media, bytes(sealed)) for finger, trait_id, media, sealed in await found.fetchall()]

    def _append(self, write: Write, act: Act, event: CivilEvent, row: PersonRow, evidence: str, detail_hash: bytes) -> int:
        state = hashlib.sha256(row.ciphertext).digest()
        return write.append(
            Entry(
                kind=EntryKind.person,
                realm=act.code,
                recorded_at_us=write.recorded_at_us,
                happened_at_us=write.recorded_at_us,
                author=act.author,
                evidence=evidence,
                key_epoch=write.key_epoch,
                detail_hash=detail_hash,
                body=PersonBody(event, row.id, state, state).encode(),
            )
        )

    async def _tell(self, write: Write, act: Act, row: PersonRow, event: CivilEvent, evidence: str, position: int) -> None:
        """Note the event, and whether a portrait is on record now."""
        await write.run(
            "UPDATE person_record SET photo = EXISTS (SELECT 1 FROM enrolment WHERE person_id = %s AND trait = 'face' "
            "AND ended IS NULL) WHERE id = %s",
            row.id,
            row.id,
        )
        await rows.note(write, act, row.id, event, write.recorded_at_us, evidence, position)


def _require(consent: Consent, face: Face | None, fingers: Sequence[Finger]) -> None:
    """Refuse traits that are poor, not consented to, or not what they claim to be."""
    if face is None and not fingers:
        raise BadInput("There is nothing to enrol.", where="/", mend="Give a face, fingers, or both.")
    if face is not None and consent.scope == "fingers":
        raise BadInput("The consent does not cover a portrait.", where="/consent/scope")
    if fingers and consent.scope == "face":
        raise BadInput("The consent does not cover fingerprints.", where="/consent/scope")
    if fingers and (len(fingers) > 2 or len({each.finger for each in fingers}) != len(fingers)):
        raise BadInput("One or two different fingers are enrolled.", where="/fingers")
    if face is not None:
        if face.quality < FACE_QUALITY_MIN:
            raise BadInput(
                f"The portrait's quality is below {FACE_QUALITY_MIN}.",
                where="/face/quality",
                mend="Take it again in better light.",
            )
        require_image(face.image, _IMAGES[face.media])
    # Imported here: the room of comparisons is needed for this alone.
    from annul.likeness.template import decode as read_template

    for place, each in enumerate(fingers):
        if each.quality < FINGER_QUALITY_MIN:
            raise BadInput(
                f"The finger's quality is below {FINGER_QUALITY_MIN}.",
                where=f"/fingers/{place}/quality",
                mend="Clean finger and sensor and take it again, or take another finger.",
            )
        views = read_template(each.template, where=f"/fingers/{place}/template")
        if not any(len(view.minutiae) for view in views):
            raise BadInput("The template holds no minutiae.", where=f"/fingers/{place}/template")


def require_image(image: bytes, form: str) -> None:
    """Refuse bytes that are no whole picture of a form and size that can be a portrait.

    Raises:
        TooLarge, BadInput: with `where`.
    """
    # Imported here: only enrolment and portraits need it.
    from PIL import Image, UnidentifiedImageError

    if len(image) > IMAGE_BYTES_MAX:
        raise TooLarge(f"A portrait has at most {IMAGE_BYTES_MAX // 1024} KiB.", where="/face/image")
    try:
        with Image.open(io.BytesIO(image), formats=[form]) as picture:
            sides = picture.size
            if not all(IMAGE_SIDE_MIN <= side <= IMAGE_SIDE_MAX for side in sides):
                raise BadInput(f"A portrait has {IMAGE_SIDE_MIN} to {IMAGE_SIDE_MAX:,} pixels a side.", where="/face/image")
            picture.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise BadInput("The portrait is not a whole picture of the form it claims.", where="/face/image") from None


def marked(image: bytes, mark: str) -> bytes:
    """Return a picture as JPEG, made smaller, with a mark repeated all over it.

    The mark runs across the whole face, so that cutting it away leaves nothing usable, and it names the check that the
    portrait was given out for.
    """
    from PIL import Image, ImageDraw, ImageFont

    with Image.open(io.BytesIO(image), formats=list(_IMAGES.values())) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((MARK_SIDE_MAX, MARK_SIDE_MAX))
    size = max(10, picture.width // 18)
    font = ImageFont.load_default(size)
    layer = Image.new("RGBA", (picture.width * 2, picture.height * 2))
    draw = ImageDraw.Draw(layer)
    step = max(1, int(draw.textlength(mark + "   ", font)))
    for line, top in enumerate(range(0, layer.height, size * 3)):
        for left in range(-(line % 2) * step // 2, layer.width, step):
            draw.text((left, top), mark, font=font, fill=(255, 255, 255, 96), stroke_width=1, stroke_fill=(0, 0, 0, 96))
    turned = layer.rotate(30).crop(
        (picture.width // 2, picture.height // 2, picture.width // 2 + picture.width, picture.height // 2 + picture.height)
    )
    picture.paste(turned, (0, 0), turned)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80, comment=mark.encode())
    return out.getvalue()
