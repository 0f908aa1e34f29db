"""Commands of those who ask: check, checks, receipt."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.cli.frame import Exit, Named, Show, Where, exit_of, fancy, folder_of, print_pairs, read_json, takes_groups
from annul.errors import AnnulError, BadInput, VerificationFailed

if TYPE_CHECKING:
    from annul.client import Answer
    from annul.likeness.evidence import Record
    from annul.records.meanings import Look

OUTCOME_EXITS: Final = {
    "PASS": Exit.DONE,
    "REFER": Exit.REFER,
    "STOP": Exit.STOP,
    "NO_ANSWER": Exit.NO_ANSWER,
}


@dataclass(frozen=True)
class Circumstances:
    """Why, where and by whom a check is made."""

    purpose: Annotated[str, typer.Option(help="Why the check is made; must be within the agreement.")] = "account-opening"
    channel: Annotated[str, typer.Option(help="in_person or remote.")] = "in_person"
    name: Annotated[str | None, typer.Option(help="Holder's name, as the bearer says.")] = None
    branch: Annotated[str, typer.Option(help="Branch that asks.")] = ""
    terminal: Annotated[str, typer.Option(help="Terminal that asks.")] = ""
    clerk: Annotated[str, typer.Option(help="Clerk who asks.")] = ""
    reference: Annotated[str, typer.Option(help="The asker's own reference.")] = ""
    min_position: Annotated[int, typer.Option(min=0, help="Wait until the register log has this position.")] = 0
    urgent: Annotated[bool, typer.Option("--urgent", help="The bearer has an urgent need.")] = False

    def question(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the question about this document as the API takes it."""
        question: dict[str, Any] = {
            "document": document,
            "purpose": self.purpose,
            "channel": self.channel,
            "branch": self.branch,
            "terminal": self.terminal,
            "clerk": self.clerk,
            "reference": self.reference,
            "min_position": self.min_position,
            "urgent": self.urgent,
        }
        if self.name:
            question["holder"] = {"name": self.name}
        return {member: value for member, value in question.items() if value not in ("", 0, False)}


@takes_groups
def check(
    named: Named,
    where: Where,
    show: Show,
    circumstances: Circumstances,
    receipt: Annotated[Path | None, typer.Option(help="Save the receipt in this file.")] = None,
    answer_file: Annotated[Path | None, typer.Option("--answer", help="Save the whole answer in this file.")] = None,
) -> int:
    """Ask whether a document must not be relied on.

    Exit code: 0 PASS, 10 REFER, 11 STOP, 12 NO_ANSWER; 3 when the server cannot be reached.
    """
    question = circumstances.question(named.fields(where.folder))
    with where.client("bank") as annul:
        try:
            answer = annul.ask_question(question)
        except AnnulError as error:
            say_no_answer(error, show)
            raise
    if receipt:
        save(receipt, answer.receipt)
    if answer_file:
        save(answer_file, answer)
    show.result(answer, lambda: show_answer(answer, receipt))
    return OUTCOME_EXITS.get(answer.outcome, Exit.NO_ANSWER)


def coded(code: str | None) -> str:
    """Return a code of an answer with its words, "" for none."""
    from annul.records.meanings import meaning_of  # not above: commands that print no answer start without it

    meaning = meaning_of(code or "")
    return f"{code}  {meaning.short}" if meaning else code or ""


def look_of(outcome: str) -> Look:
    """Return how an outcome looks; one that this program does not know looks as NO_ANSWER."""
    from annul.records.codes import Outcome
    from annul.records.meanings import OUTCOMES

    return OUTCOMES[Outcome.__members__.get(outcome, Outcome.NO_ANSWER)]


def say_no_answer(error: AnnulError, show: Show) -> None:
    """Say on the screen that an error left the question without an answer, where it did."""
    if exit_of(error, checking=True) == Exit.NO_ANSWER and not show.json_wanted:
        look = look_of("NO_ANSWER")
        print(f"{look.sign}  {look.word}  Do not take this for a pass.")


def save(file: Path, value: Any) -> None:
    """Write a value as JSON. Raises BadInput when the file cannot be written."""
    import msgspec

    _write(file, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise BadInput(f"The file cannot be written: {error.strerror}.", where=str(file)) from None


def show_answer(answer: Answer, receipt: Path | None) -> None:
    """Print an answer for people: outcome, next steps, facts."""
    from annul.proof.words import explain
    from annul.records import meanings
    from annul.records.schemes import spoken_steps

    look = look_of(answer.outcome)
    said = {step.value: told.sentence for step, told in meanings.STEPS.items()}
    scheme = explain(answer.receipt)["scheme"] if answer.receipt else None
    steps = [said.get(code, code) for code in spoken_steps(answer.advice, scheme)]
    code = answer.status.code or answer.error.code
    facts = [
        ("Status", coded(code)),
        ("Freshness", f"{coded(answer.freshness.code)}, position {answer.freshness.position}, as of {answer.freshness.as_of}"),
        ("Check", answer.check),
        ("Receipt", f"saved in {receipt}" if receipt else ""),
    ]
    if fancy():
        from rich.console import Console, Group
        from rich.padding import Padding
        from rich.text import Text

        console = Console()
        colours = look.few if console.color_system == "standard" else look.terminal
        banner = Text(f"\n   {look.sign}   {look.word}\n", style=f"bold {colours}")
        banner.append(f"   {answer.detail}   \n", style=colours)
        console.print(Padding(Group(banner), 0, style=colours))
    else:
        print(f"{look.sign}  {look.word}  {answer.detail}")
    for step in steps:
        print(f"Next: {step}")
    print_pairs(facts)


# -- checks ------------------------------------------------------------------------------------------------------------------

checks_app = typer.Typer(no_args_is_help=True, help="Look at checks that were made.")
_COLUMNS: Final = {
    "checked_at": "time",
    "party": "party",
    "purpose": "purpose",
    "outcome": "outcome",
    "status": "status",
    "check": "check",
}

Limit = Annotated[int, typer.Option(min=1, max=500, help="At most this many.")]


_SEVEREST: Final = ("NO_ANSWER", "STOP", "REFER", "PASS")


@checks_app.command("ask")
@takes_groups
def checks_ask(
    where: Where,
    show: Show,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="One question a line (JSON, as POST /v1/checks takes it); - for standard input."),
    ],
    answers_file: Annotated[
        Path | None, typer.Option("--answers", help="Save the whole answers in this file, one a line.")
    ] = None,
) -> int:
    """Ask any number of checks in batches, each with its receipt; answers come in the order of the questions.

    Exit code: that of the most serious answer: 12 NO_ANSWER, 11 STOP, 10 REFER, 0 when all PASS.
    """
    import msgspec

    from annul.cli.progress import progress

    questions = _questions(file)
    answers: list[Answer] = []
    with where.client("bank") as annul, progress("Asking", len(questions), "checks") as advance:
        for answer in annul.ask_many(questions):
            answers.append(answer)
            advance(1)
    if answers_file:
        _write(answers_file, b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))
    rows = [
        {"line": line, "outcome": answer.outcome, "status": answer.status.code, "check": answer.check}
        for line, answer in enumerate(answers, 1)
    ]
    if show.json_wanted:
        show.result(answers, "")
    else:
        show.table(rows, {"line": "line", "outcome": "outcome", "status": "status", "check": "check"}, empty="No questions.")
    given = {answer.outcome for answer in answers}
    return OUTCOME_EXITS[next((outcome for outcome in _SEVEREST if outcome in given), "PASS")]


def _questions(file: str) -> list[dict[str, Any]]:
    """Read one JSON object a line; empty lines are passed over."""
    import msgspec

    found: list[dict[str, Any]] = []
    for number, line in enumerate(_read(file).splitlines(), 1):
        try:
            if line.strip():
                found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError:
            raise BadInput(
                "The line is not a JSON object.", where=f"line {number}", mend="Write one question a line."
            ) from None
    return found


@checks_app.command("photo")
@takes_groups
def checks_photo(
    named: Named,
    where: Where,
    show: Show,
    answer_file: Annotated[
        Path, typer.Option("--answer", help="Whole answer of a check that matched (M0), as `annul check --answer` saved it.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Write the portrait (JPEG) here.")],
) -> None:
    """Get the portrait on record for a check that matched, if the agreement allows it; within 15 minutes of the check."""
    answer = read_json(str(answer_file))
    try:
        check_id = str(answer["check"])
        body = {"document": named.fields(where.folder), "receipt": answer["receipt"], "opening": answer["opening"]}
    except (KeyError, TypeError):
        raise BadInput("This is not a whole answer.", where="--answer", mend="Save one with `annul check --answer`.") from None
    with where.client("bank") as annul:
        portrait = annul.connection.post_bytes(f"/v1/checks/{check_id}/photo", body)
    _write(output, portrait)
    show.result({"check": check_id, "file": str(output)}, f"✔  WRITTEN  The portrait is in {output}, marked with the check.")


@checks_app.command("list")
@takes_groups
def checks_list(where: Where, show: Show, limit: Limit = 20) -> None:
    """List your own checks, newest first."""
    with where.client("bank") as annul:
        page = annul.connection.get("/v1/checks", {"limit": limit})
    show.table(page["checks"], _COLUMNS, empty="No checks yet. They appear here a second after they were made.")


@checks_app.command("show")
@takes_groups
def checks_show(
    where: Where,
    show: Show,
    check_id: Annotated[str, typer.Argument(metavar="CHECK", help="Id of the check, as the answer gave it.")],
    receipt: Annotated[Path | None, typer.Option(help="Save the receipt in this file.")] = None,
) -> None:
    """Show one of your own checks with its receipt."""
    with where.client("bank") as annul:
        found = annul.connection.get(f"/v1/checks/{check_id}")
    if receipt:
        save(receipt, found["receipt"])
    show.result(
        found, lambda: print_pairs((name, value) for name, value in found.items() if name not in ("receipt", "opening"))
    )


@checks_app.command("about")
@takes_groups
def checks_about(
    named: Named,
    where: Where,
    show: Show,
    case: Annotated[str, typer.Option(help="Case reference; the look-up itself is accounted for.")],
    limit: Limit = 100,
) -> None:
    """List who asked about a document (supervisor, issuer, police)."""
    body = {"document": named.fields(where.folder), "case": case, "limit": limit}
    with where.client("supervisor") as annul:
        page = annul.connection.post("/v1/documents/checks", body)
    show.table(page["checks"], _COLUMNS, empty="Nobody has asked about this document.")


# -- receipts ----------------------------------------------------------------------------------------------------------------

receipt_app = typer.Typer(no_args_is_help=True, help="Read and verify receipts, offline.")

ReceiptFile = Annotated[str, typer.Argument(metavar="FILE", help="Receipt or whole answer; - for standard input.")]


@receipt_app.command("show")
@takes_groups
def receipt_show(show: Show, file: ReceiptFile) -> None:
    """Say in words what a receipt states. This proves nothing: see verify."""
    from annul.client.receipts import parts_of
    from annul.proof.words import explain

    words = explain(parts_of(_read(file))[0])
    show.result({"verified": False} | words, lambda: _show_words(words, verified=False))


@receipt_app.command("verify")
@takes_groups
def receipt_verify(
    show: Show,
    file: ReceiptFile,
    key: Annotated[
        str | None, typer.Option(help="File of public keys to trust, or one verifier key; else keys/annul.pub of the home.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", envvar="ANNUL_HOME", show_default=".annul", help="Data folder.")
    ] = None,
    evidence: Annotated[
        str | None, typer.Option(metavar="FILE", help="Evidence of the comparison too; that in a whole answer always is.")
    ] = None,
    openings: Annotated[Path | None, typer.Option(metavar="FILE", help="Openings of the evidence, for --proves.")] = None,
    proves: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Sample to hold against the evidence, such as face/live=photo.jpg."),
    ] = None,
) -> int:
    """Verify a receipt with the public key alone, no network; say who asked what, when, and the answer.

    Exit code: 0 verified, 1 refused; then the failing step of the recipe is named.
    """
    from annul.client import TrustedKeys, verify_receipt
    from annul.client.receipts import evidence_of, verify_evidence

    if key and "+" in key and not Path(key).exists():
        keys = TrustedKeys.parse(key)
    else:
        keys = TrustedKeys.read(Path(key) if key else folder_of(home).public_keys)
    data = _read(file)
    part, record = "receipt", None
    try:
        words = verify_receipt(data, keys)
        part = "evidence"
        given = _read(evidence) if evidence else evidence_of(data)
        if given is not None:
            record = verify_evidence(given, words, keys)
        if proves:
            _require_samples(record, openings, proves)
    except VerificationFailed as failed:
        if show.json_wanted:
            told = {"verified": False, "part": part, "step": failed.step, "where": failed.where, "message": failed.message}
            show.result(told, "")
        else:
            place = f" ({failed.where})" if failed.where else ""
            print(f"✖  REFUSED  Step {failed.step} of the recipe for the {part} failed: {failed.message}{place}")
            if failed.mend:
                print(f"   {failed.mend}")
        return Exit.REFUSED
    value = {"verified": True} | words | ({} if record is None else {"evidence": record})

    def for_people() -> None:
        _show_words(words, verified=True)
        if record is not None:
            _show_evidence(record, proves or ())

    show.result(value, for_people)
    return Exit.DONE


def _require_samples(record: Record | None, openings: Path | None, proves: Sequence[str]) -> None:
    """Hold files against the commitments of a verified record."""
    from annul.likeness.evidence import verify_sample

    if record is None or openings is None:
        raise BadInput(
            "A sample is proved by evidence and its openings.", where="--proves", mend="Give --evidence and --openings."
        )
    salts = read_json(str(openings))
    for each in proves:
        name, _, file = each.partition("=")
        trait, _, sample = name.partition("/")
        salt = salts.get(trait, {}).get(sample) if isinstance(salts, dict) else None
        if not file or not isinstance(salt, str):
            raise BadInput("The openings hold no sample of this name.", where=name, mend="Names look like face/live=photo.jpg.")
        try:
            opening = bytes.fromhex(salt)
        except ValueError:
            opening = b""
        where = "finger" if trait == "fingerprint" else trait
        verify_sample(record, _read(file), trait=where, name=sample, salt=opening)


def _show_evidence(record: Record, proves: Sequence[str]) -> None:
    """Say in words what verified evidence states."""
    from annul.likeness.evidence import SCORE_UNIT

    print("✔  VERIFIED  The comparison belongs to this answer and was signed as follows.")
    rows: list[tuple[str, Any]] = [("Device", record.device_class)]
    if record.chip is not None:
        rows.append(
            ("Chip", f"genuine {record.chip.genuine}, unaltered {record.chip.unaltered}, same chip {record.chip.same_chip}")
        )
    if record.register_position is not None:
        rows.append(("On record", f"what is enrolled was compared with; accounted for at position {record.register_position}"))
    for line in record.lines:
        told = f"{line.result.value.replace('_', ' ')} ({', '.join(line.reasons)})"
        if line.score is not None and line.threshold is not None and line.claimed_fmr_ppb is not None:
            told += (
                f", score {line.score / SCORE_UNIT:.3f}, threshold {line.threshold / SCORE_UNIT:.3f} at a false match rate of "
            )
            told += f"{line.claimed_fmr_ppb / 1e9:g}"
        rows.append((line.trait.capitalize(), told))
        rows.append(("  watched", "the clerk confirmed it" if line.supervised else "nobody confirmed it"))
    rows += [("Proved", name.partition("=")[0]) for name in proves]
    print_pairs(rows)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=file) from None


def _show_words(words: dict[str, Any], *, verified: bool) -> None:
    if verified:
        print("✔  VERIFIED  This answer was given and signed as follows.")
    code = words["status"] or words["error"]
    print_pairs(
        (
            ("Asked by", words["party"] + (" (test data)" if words["realm"] == "test" else "")),
            ("When", words["checked_at"]),
            ("Purpose", f"{words['purpose']}, {words['channel']}"),
            ("Document", f"scheme {words['scheme']}; the receipt commits to it and does not name it"),
            ("Answer", f"{words['outcome']}  {coded(code)}"),
            ("Bearer", "" if words["binding"] == "B9" else coded(words["binding"])),
            ("Advice", words["advice"]),
            ("Register", f"position {words['position']}, as of {words['as_of']} ({words['freshness']})"),
            ("Coverage", words["coverage"]),
            ("Policy", f"version {words['policy_version']}"),
            (
                "Window",
                f"worker {words['worker']}, window {words['window']}, answer {words['index'] + 1} of "
                f"{words['answers_in_window']}, closed {words['closed_at']}",
            ),
            ("Key", words["key"]),
            ("Check", words["check"]),
        )
    )
