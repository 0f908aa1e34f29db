"""Commands of enrolment: portraits and fingerprints of persons, with the consent they rest on, and their withdrawal."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from annul.cli.desk import Repeat
from annul.cli.frame import Show, Where, print_pairs, takes_groups
from annul.cli.people import Decision, Number, _number, person_app
from annul.errors import BadInput

__all__ = ["person_app"]

MEDIA: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".jp2": "image/jp2"}
TEMPLATES: Final = (".fmr", ".iso", ".19794")
GOOD_WIDTH_PX: Final = 180
"""Width of a face that counts as 100 of quality: some 90 pixels between the eyes. Source: ISO/IEC 19794-5."""


@person_app.command("enrol")
@takes_groups
def person_enrol(
    where: Where,
    show: Show,
    consent: Annotated[str, typer.Option(metavar="REFERENCE", help="Reference of the signed consent, or of the law.")],
    basis: Annotated[str, typer.Option(help="holder, guardian (of a child) or law.")] = "holder",
    face: Annotated[Path | None, typer.Option(metavar="FILE", help="Portrait: .jpg, .png or .jp2.")] = None,
    finger: Annotated[
        list[str] | None,
        typer.Option(metavar="N=FILE", help="Finger 1 (right thumb) to 10: an image, or a template (.fmr) as N=FILE=QUALITY."),
    ] = None,
    number: Number = "-",
    idempotency_key: Repeat = None,
) -> None:
    """Enrol a portrait, one or two fingers, or both; images of fingers are made into templates here and do not leave.

    Quality is measured on this machine (`annul[likeness]`): the width of the face, NFIQ 2 of a finger.
    """
    fingers = [_finger(each) for each in finger or []]
    scope = "face_and_fingers" if face and fingers else "face" if face else "fingers"
    body: dict[str, Any] = {
        "personal_number": _number(number),
        "fingers": fingers,
        "consent": {"basis": basis, "evidence": consent, "scope": scope},
    }
    if face is not None:
        body["face"] = _face(face)
    with where.client("issuer") as annul:
        made = annul.connection.write("/v1/persons/enrolments", body, idempotency_key=idempotency_key)
    show.result(made, f"✔  ENROLLED  person {made['person']}, position {made['position']}.")


def _face(file: Path) -> dict[str, Any]:
    from annul.likeness.face import portrait_quality

    media = MEDIA.get(file.suffix.lower())
    if media is None:
        raise BadInput("A portrait is JPEG, PNG or JPEG 2000.", where="--face", mend=f"Use {', '.join(MEDIA)}.")
    image = _read(file, "--face")
    found = portrait_quality(image)
    if found.problems:
        raise BadInput(f"The portrait cannot be used: {', '.join(found.problems)}.", where="--face", mend="Take it again.")
    quality = min(100, round(100 * found.width_px / GOOD_WIDTH_PX))
    return {"image": base64.b64encode(image).decode(), "media": media, "quality": quality}


def _finger(text: str) -> dict[str, Any]:
    position, sign, rest = text.partition("=")
    if not sign or not position.isdigit():
        raise BadInput("A finger is its number and a file.", where="--finger", mend="Write it as 2=right-index.png.")
    name, _, stated = rest.partition("=")
    file = Path(name)
    raw = _read(file, "--finger")
    if file.suffix.lower() in TEMPLATES:
        if not stated.isdigit():
            raise BadInput("A template comes with its quality.", where="--finger", mend="Write it as 2=right-index.fmr=60.")
        return {"finger": int(position), "template": base64.b64encode(raw).decode(), "quality": int(stated)}
    from annul.likeness.finger import extract

    made = extract(raw, position=int(position))
    return {
        "finger": int(position),
        "template": base64.b64encode(made.record).decode(),
        "quality": int(made.quality.nfiq2 or 0),
    }


def _read(file: Path, where: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=where) from None


@person_app.command("enrolled")
@takes_groups
def person_enrolled(where: Where, show: Show, number: Number = "-") -> None:
    """Show what is, and what was, enrolled of a person; no bytes."""
    with where.client("issuer") as annul:
        found = annul.connection.post("/v1/persons/enrolments/list", {"personal_number": _number(number)})["enrolments"]
    columns = {
        "id": "id",
        "trait": "trait",
        "finger": "finger",
        "quality": "quality",
        "enrolled_at": "enrolled",
        "ended": "ended",
    }
    show.table(found, columns, empty="Nothing of this person is enrolled.")


@person_app.command("withdraw")
@takes_groups
def person_withdraw(where: Where, show: Show, evidence: Decision, number: Number = "-", idempotency_key: Repeat = None) -> None:
    """Withdraw a person's consents: portrait and templates are destroyed; that there were some stays on record."""
    body = {"personal_number": _number(number), "evidence": evidence}
    with where.client("issuer") as annul:
        made = annul.connection.write("/v1/persons/enrolments/withdraw", body, idempotency_key=idempotency_key)

    def text() -> None:
        print("✔  WITHDRAWN")
        print_pairs((("Person", made["person"]), ("Position", made["position"])))

    show.result(made, text)
