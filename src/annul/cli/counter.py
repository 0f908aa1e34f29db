"""Commands at the counter: verify-person, read, station."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.cli.checking import OUTCOME_EXITS, Circumstances, coded, save, say_no_answer, show_answer
from annul.cli.frame import Exit, Named, Show, Where, ask_secretly, print_json, print_pairs, read_json, takes_groups
from annul.errors import AnnulError, BadInput

if TYPE_CHECKING:
    from annul.reader import Reading
    from annul.reader.access import AccessKey
    from annul.reader.trust import TrustList
    from annul.records.mrz import Mrz

SAMPLE_BYTES_MAX: Final = 25 << 20
"""Largest file that is read; the server and the readers have limits of their own below it."""
TEXT_BYTES_MAX: Final = 1000
"""A zone is three lines at most; a larger file is a photo."""


def read_bytes(name: str | Path, *, bytes_max: int = SAMPLE_BYTES_MAX) -> bytes:
    """Read a file, or standard input for "-".

    Raises:
        BadInput: it cannot be read, or is larger than `bytes_max`.
    """
    try:
        if str(name) == "-":
            data = sys.stdin.buffer.read(bytes_max + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(bytes_max + 1)
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=str(name)) from None
    if len(data) > bytes_max:
        raise BadInput(f"The file is larger than {bytes_max >> 20} MiB.", where=str(name), mend="Give a smaller one.")
    return data


# -- verify-person -----------------------------------------------------------------------------------------------------------


@takes_groups
def verify_person(
    named: Named,
    where: Where,
    show: Show,
    circumstances: Circumstances,
    face: Annotated[Path | None, typer.Option(metavar="FILE", help="Photo of the bearer, taken now.")] = None,
    portrait: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Portrait of the holder; else of --reading, else the one on record.")
    ] = None,
    finger: Annotated[Path | None, typer.Option(metavar="FILE", help="Fingerprint of the bearer, taken now.")] = None,
    enrolled: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Enrolled print of the holder, several times; else those on record."),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What `annul read --json` gave: document, portrait, chip; - for standard input."),
    ] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="You watched the capture. Without it nothing counts as a match.")
    ] = False,
    exempt: Annotated[bool, typer.Option("--no-usable-prints", help="The person has none: the face alone counts.")] = False,
    challenge: Annotated[
        bool, typer.Option("--challenge", help="Ask the bearer for four actions, and for a photo of each (--camera or a file).")
    ] = False,
    camera: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Program that writes a photo to its standard output, taken at Enter.")
    ] = None,
    device: Annotated[str, typer.Option(help="counter-camera, counter-scanner, mobile, kiosk or unknown.")] = "unknown",
    receipt: Annotated[Path | None, typer.Option(help="Save the receipt in this file.")] = None,
    evidence: Annotated[Path | None, typer.Option(help="Save the signed evidence in this file.")] = None,
    openings: Annotated[
        Path | None, typer.Option(help="Save what opens the evidence's commitments to the samples. Keep it apart.")
    ] = None,
) -> int:
    """Check a document and compare its bearer with the holder, by face, fingerprint or both.

    Samples are sent to the server, compared in memory and not kept. Exit code as `annul check`.
    """
    import msgspec

    from annul.client.relying_party import Answer

    read = _reading(reading)
    taken = _Photos(camera)
    if face is None and finger is None and camera is None:
        raise BadInput("There is nothing to compare.", where="--face, --finger", mend="Give a photo, a print, or both.")
    if challenge and face is None and camera is None:
        raise BadInput("A challenge goes with a photo of the bearer.", where="--challenge", mend="Give --face or --camera.")
    asked = circumstances.question(read.get("document") or named.fields(where.folder))
    body: dict[str, Any] = {"check": asked, "supervised": supervised, "device": device, "fingerprint_exempt": exempt}
    if face is not None or camera is not None:
        reference = _base64(portrait) if portrait else (read.get("portrait") or {}).get("data")
        live = _base64(face) if face else taken.photo("The bearer looks straight into the camera.")
        body["face"] = {"live": live} | ({"reference": reference} if reference else {})
        if not portrait and read.get("chip"):
            body["chip"] = read["chip"]
    if finger is not None:
        body["fingerprint"] = {"live": _base64(finger), "enrolled": [_base64(each) for each in enrolled or ()]}
    found = _compared(where, show, body, taken if challenge else None)
    _save_all(found, receipt, evidence, openings)

    def for_people() -> None:
        show_answer(msgspec.convert(found, Answer), receipt)
        _show_binding(found["binding"])
        print_pairs([("Evidence", f"saved in {evidence}" if evidence else "")])

    show.result(found, for_people)
    return OUTCOME_EXITS.get(found["outcome"], Exit.NO_ANSWER)


def _compared(where: Where, show: Show, body: dict[str, Any], challenged: _Photos | None) -> Any:
    """Send the samples, after the challenge if there is one; say why when there is no answer."""
    with where.client("bank") as annul:
        try:
            if challenged is not None:
                asked = annul.connection.post("/v1/verifications/challenges", {"document": body["check"]["document"]})
                body["challenge"] = asked["challenge"]
                body["face"]["frames"] = [challenged.photo(f"{n}. {step}") for n, step in enumerate(asked["steps"], 1)]
            return annul.connection.post("/v1/verifications", body)
        except AnnulError as error:
            say_no_answer(error, show)
            raise


def _save_all(found: Any, receipt: Path | None, evidence: Path | None, openings: Path | None) -> None:
    """Save what the user wants kept: what opens the commitments never beside them."""
    if receipt:
        save(receipt, found["receipt"])
    if evidence:
        kept = {name: value for name, value in found["evidence"].items() if name != "openings"}
        save(evidence, kept | {"check": found["check"]})
    if openings:
        save(openings, found["evidence"]["openings"])


class _Photos:
    """Photos of the bearer, one after another: by the camera's program at Enter, or from files that are named."""

    def __init__(self, camera: str | None) -> None:
        from annul.reader.capture import Program

        self._camera = Program.parse("camera", camera) if camera else None

    def photo(self, step: str) -> str:
        """Say what the bearer has to do and return the photo of it in base64.

        Raises:
            BadInput: standard input has ended, or, without a terminal, the file cannot be read.
            NoReader, TimedOut, TooLarge: as `annul.reader.capture.Program.take`.
        """
        while True:
            print(f"{step} {'Press Enter.' if self._camera else 'File of the photo:'} ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not sys.stdin.isatty():
                print(file=sys.stderr)
            if not line:
                raise BadInput("The photo was not taken.", where="standard input", mend="Begin again, and answer each step.")
            if self._camera:
                return base64.b64encode(self._camera.take()).decode()
            try:
                return _base64(Path(line.strip()))
            except BadInput as error:
                if not sys.stdin.isatty():
                    raise
                print(error.message, file=sys.stderr)


def _base64(file: Path) -> str:
    return base64.b64encode(read_bytes(file)).decode()


def _reading(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    value = read_json(name)
    if not isinstance(value, dict) or not isinstance(value.get("document"), dict):
        raise BadInput("The file does not hold a reading.", where="--reading", mend="Make it with `annul read … --json`.")
    return value


def _show_binding(binding: dict[str, Any]) -> None:
    rows: list[tuple[str, Any]] = [("Bearer", coded(binding["code"]))]
    for trait in ("face", "fingerprint"):
        part = binding[trait]
        if part is None:
            continue
        told = "none: the person has no usable print" if part["reasons"] == ["exempt"] else part["result"].replace("_", " ")
        if part["score"] is not None:
            told += f", score {part['score']:.3f}, threshold {part['threshold']:.3f} at a false match rate of "
            told += f"{part['claimed_fmr']:g}"
        rows.append((trait.capitalize(), told))
    print_pairs(rows)
    parts = (binding, binding["face"] or {}, binding["fingerprint"] or {})
    for step in dict.fromkeys(step for part in parts for step in part.get("steps", ())):
        print(f"Note: {step}")


# -- read --------------------------------------------------------------------------------------------------------------------

read_app = typer.Typer(
    no_args_is_help=True, help="Read a document as the counter's device sees it, and print it. Nothing is sent or written."
)
_MEANS: Final = {
    "zone_typed": "zone, as typed",
    "zone_photo": "zone on a photo",
    "chip": "chip",
    "resident_chip": "resident card",
    "resident_photo": "resident card on a photo",
}
_ASSURANCE: Final = {
    "typing_aid": "a typing aid: proves nothing, compare it with the document",
    "card_data": "told by the card: not proved",
    "signed": "signed by a state: may be a copy",
    "signed_same_chip": "signed by a state, and the chip is the one it issued",
}
_VERDICTS: Final = {
    "malformed": "malformed: the security object is missing or cannot be decoded; treat the chip as unreadable",
    "bad_signature": "bad signature: suspect a forgery",
    "altered": "altered: the chip differs from what was signed; suspect a forgery",
    "unknown_signer": "unknown signer: no certificate that is believed; the chip proves nothing",
    "revoked_signer": "revoked signer: refuse the chip",
    "cannot_verify": "cannot verify: no verifier for its curve, digest or form; no sign of a forgery, and no proof",
    "expired_signer": "expired signer: out of its dates",
    "other_state": "signer of another state: suspect a forgery",
    "genuine": "genuine",
    "not_done": "not done",
}
_HOLDER: Final = (
    ("Name", "name"),
    ("In its own script", "native_name"),
    ("Sex", "sex"),
    ("Born", "birth_date"),
    ("Or born", "birth_other"),
    ("Nationality", "nationality"),
    ("Personal number", "personal_number"),
    ("Ethnicity", "ethnicity"),
    ("Address", "address"),
    ("Name in its own letters", "native_name"),
)
Trust = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust",
        metavar="FILE",
        help="Certificates of states to believe: PEM, DER, PKCS#7, master list or LDIF; may be given several times.",
    ),
]


def _now() -> datetime:
    return datetime.now(UTC)


def _trust(files: list[Path] | None) -> TrustList:
    from annul.reader.trust import FILE_MAX_BYTES, TrustList

    believed = TrustList.read([(str(file), read_bytes(file, bytes_max=FILE_MAX_BYTES)) for file in files or ()])
    for note in believed.passed_over:
        print(note, file=sys.stderr)
    return believed


def _print(found: Reading, show: Show) -> None:
    """Print a reading; the portrait as its size only, unless JSON is wanted."""
    import msgspec

    from annul.reader.station import encode

    value = msgspec.json.decode(encode(found))
    if show.json_wanted:
        print_json(value)
        return
    document = {name: each for name, each in value["document"].items() if each and name != "mrz"}
    pairs: list[tuple[str, Any]] = [("Read", _MEANS[value["means"]]), ("Worth", _ASSURANCE[value["assurance"]])]
    pairs += [(name.replace("_", " ").capitalize(), each) for name, each in document.items()]
    pairs += [("Form", value["form"]), *((f"Zone {n}", each) for n, each in enumerate(value["zone"], 1))]
    pairs += [(label, value["holder"][member]) for label, member in _HOLDER]
    pairs += [("Valid until", value["valid_until"]), ("Permit", value["permit_number"])]
    pairs += [("Times issued", value["times_issued"] or None), ("Notes", value["notes"])]
    if found.portrait is not None:
        pairs.append(("Portrait", f"{found.portrait.media_type}, {len(found.portrait.data):,} bytes"))
    if found.chip is not None:
        pairs += [
            ("Opened by", found.chip.access),
            ("Signature", _VERDICTS[found.chip.passive.verdict.value]),
            ("Remarks", list(found.chip.passive.remarks)),
            ("Signer", found.chip.passive.signer_country),
            ("Chip authentication", found.chip.chip_authentication.value),
            ("Active authentication", found.chip.active_authentication.value),
            ("Genuine", found.chip.genuine),
            ("Unaltered", found.chip.unaltered),
            ("Same chip", found.chip.same_chip),
            ("Print agrees", found.chip.print_agrees),
        ]
    print_pairs(pairs)


def _zone(name: str) -> tuple[Mrz, bool]:
    """Read a zone from a file of text or a photo; says whether it was a photo."""
    from annul.records.mrz import read_typed

    data = read_bytes(name)
    if len(data) <= TEXT_BYTES_MAX:
        try:
            return read_typed(data.decode("utf-8"), _now().date()), False
        except UnicodeDecodeError:
            pass
    from annul.reader.ocr import TextReader
    from annul.reader.zone_photo import read_zone_photo

    return read_zone_photo(data, TextReader(), today=_now().date()), True


ZoneFile = Annotated[str, typer.Argument(metavar="FILE", help="Photo, or text of one to three lines; - for standard input.")]


@read_app.command("zone")
@takes_groups
def read_zone(show: Show, file: ZoneFile) -> None:
    """Read the machine-readable zone from a photo or from text."""
    from annul.reader.reading import Means, of_zone

    zone, seen = _zone(file)
    _print(of_zone(zone, Means.ZONE_PHOTO if seen else Means.ZONE_TYPED, _now()), show)


@read_app.command("chip")
@takes_groups
def read_chip(
    show: Show,
    zone: Annotated[
        str | None, typer.Option(metavar="FILE", help="Zone that opens the chip: photo or text; - for standard input.")
    ] = None,
    can: Annotated[str | None, typer.Option(help="Card access number, 6 digits; - to be asked for it.")] = None,
    trust: Trust = None,
    reader: Annotated[str | None, typer.Option(help="Name of the reader; else the first one.")] = None,
    portrait: Annotated[bool, typer.Option("--portrait/--no-portrait", help="Read the portrait, the longest file.")] = True,
) -> None:
    """Read the chip of a passport or identity card on a PC/SC reader, and say what it proves."""
    from annul.reader.chip import read_document
    from annul.reader.faults import NoReader
    from annul.reader.transport import PcscTransport, pcsc_readers

    key, printed = _key(zone, can)
    believed = _trust(trust)
    names = [reader] if reader else pcsc_readers()
    if not names:
        raise NoReader("No chip reader is connected.", mend="Connect one and try again.")
    card = PcscTransport.connect(names[0])
    try:
        found = read_document(card, key, believed, at=_now(), printed=printed, portrait=portrait)
    finally:
        card.close()
    _print(found, show)


def _key(zone: str | None, can: str | None) -> tuple[AccessKey, tuple[str, ...] | None]:
    from annul.reader.access import AccessKey

    if (zone is None) == (can is None):
        raise BadInput("The chip needs one key from the print.", where="--zone, --can", mend="Give one of them.")
    if zone is not None:
        found, _ = _zone(zone)
        return AccessKey.of_zone(found), tuple(found.lines)
    number = ask_secretly("Card access number") if can == "-" else str(can)
    if not (number.isascii() and number.isdigit() and len(number) == 6):
        raise BadInput("The card access number has 6 digits.", where="--can")
    return AccessKey(can=number), None


@read_app.command("resident")
@takes_groups
def read_resident(
    show: Show,
    port: Annotated[str | None, typer.Option(help="Serial port of the reader box, such as /dev/ttyUSB0.")] = None,
    photo: Annotated[str | None, typer.Option(metavar="FILE", help="Photo of the front instead; - for standard input.")] = None,
    back: Annotated[Path | None, typer.Option(metavar="FILE", help="Photo of the back.")] = None,
    record: Annotated[
        str | None, typer.Option(metavar="FILE", help="Text record of 256 bytes that was stored; - for standard input.")
    ] = None,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=60, help="Seconds to wait for a card.")] = 5.0,
) -> None:
    """Read a Chinese resident card by its reader box, from photos, or from a stored record.

    The box and the record may be of any of the four kinds: resident, resident from Hong Kong, Macao or Taiwan, foreigner of
    2017 or of 2023.
    """
    if sum(way is not None for way in (port, photo, record)) != 1:
        raise BadInput("Say how to read the card.", where="--port, --photo, --record", mend="Give one of them.")
    if record is not None:
        from annul.reader.resident_records import parse_record, reading_of

        _print(reading_of(parse_record(read_bytes(record)), at=_now()), show)
        return
    if photo is not None:
        from annul.reader.ocr import TextReader
        from annul.reader.resident_photo import read_resident_photo

        second = read_bytes(back) if back else None
        _print(read_resident_photo(read_bytes(photo), TextReader(), at=_now(), back=second), show)
        return
    from annul.reader.resident_card import SamReader, SerialLine, read_resident_card

    line = SerialLine(str(port))
    try:
        found = read_resident_card(SamReader(line), at=_now(), wait_s=wait_s)
    finally:
        line.close()
    _print(found, show)


# -- station -----------------------------------------------------------------------------------------------------------------


@takes_groups
def station(
    show: Show,
    origin: Annotated[
        list[str],
        typer.Option(metavar="URL", help="Counter page that may use it: scheme, host and port; may be given several times."),
    ],
    trust: Trust = None,
    serial: Annotated[
        list[str] | None, typer.Option(metavar="DEVICE", help="Serial port of a resident card's reader box.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Program that takes a photo and writes it to its standard output.")
    ] = None,
    scanner: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Program that scans a finger and writes the image to its standard output."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on this machine; 0 takes a free one.")] = 8673,
) -> None:
    """Let the counter page in this machine's browser use the reader. Listens on the loopback address only; keeps nothing."""
    from annul.reader.capture import Program
    from annul.reader.station import Devices, Station, run

    def ready(address: str, token: str) -> None:
        def for_people() -> None:
            print_pairs([("Station", address), ("Token", token)])
            print("Enter the token on the counter page. Stop with Ctrl-C.")

        show.result({"address": address, "token": token}, for_people)
        sys.stdout.flush()

    devices = Devices(
        serial_ports=tuple(serial or ()),
        camera=Program.parse("camera", camera) if camera else None,
        scanner=Program.parse("scanner", scanner) if scanner else None,
    )
    run(Station(origins=tuple(origin), trust=_trust(trust), devices=devices), port=port, ready=ready)
