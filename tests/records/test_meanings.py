"""A code means one thing, in one table: words in every language, on every surface; dead, colours, schemes once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import annul
from annul.cli.checking import OUTCOME_EXITS, coded, look_of
from annul.demo.samples import MAKERS
from annul.languages import LANGUAGES, SOURCE
from annul.proof import receipt as receipts
from annul.records import codes, meanings, schemes
from annul.records.check import SENTENCES, sentence_key
from annul.records.codes import DEAD, Channel, Outcome, State, StatusClass, StatusCode
from annul.records.document import parse_document
from annul.records.policy import DEFAULT_POLICY
from annul.records.scheme import SCHEME_OF_CODE, SCHEMES, DocumentFields, Typed
from annul.records.status import DEAD_MASK, TERMINAL, Event
from annul.registry.citizen.views import acts_of
from annul.registry.notices.sources import ATTEMPTS
from annul.registry.parties import sandbox
from annul.registry.writing.documents import Row
from annul.web.counter.words import CODE_WORDS, STEP_WORDS
from annul.web.door import pages, words

SOURCES = Path(annul.__file__).parent
WITHHELD = {StatusCode.S00, StatusCode.I00}
LISTS = {
    "status": codes.StatusCode,
    "identity": codes.IdentityCode,
    "binding": codes.BindingCode,
    "freshness": codes.FreshnessCode,
    "error": codes.ErrorCode,
}


# -- every code has words, in every language ----------------------------------------------------------------------------


def test_every_code_of_every_axis_has_a_meaning() -> None:
    """A code without a row in the table fails here, before any page meets it."""
    assert {axis: list(table) for axis, table in meanings.AXES.items()} == {axis: list(each) for axis, each in LISTS.items()}
    for table, known in (
        (meanings.OUTCOMES, Outcome),
        (meanings.STEPS, codes.Advice),
        (meanings.PURPOSES, codes.Purpose),
        (meanings.CHANNELS, Channel),
        (meanings.STATES, State),
        (meanings.EVENTS, Event),
    ):
        assert list(table) == list(known)
    assert all(text.strip() == text and text for text in meanings.texts())


@pytest.mark.parametrize("language", [key for key in LANGUAGES if key != SOURCE])
def test_every_code_and_kind_has_words_in_every_language_offered(language: str) -> None:
    """Also in Arabic: a citizen reads the same codes on a receipt and in a notice."""
    translate = pages.catalogue(language).gettext
    alike = {text for text in (*meanings.texts(), *schemes.texts()) if translate(text) == text}
    assert alike <= {"PASS", "REFER", "STOP", "NO ANSWER"}


def test_codes_of_an_axis_are_told_apart_by_their_words() -> None:
    """Two codes with the same words would be one code to whoever reads them."""
    for table in meanings.AXES.values():
        assert (
            len({meaning.short for meaning in table.values()})
            == len({meaning.long for meaning in table.values()})
            == len(table)
        )


# -- every surface shows them -------------------------------------------------------------------------------------------


def test_the_counter_has_words_for_every_code_it_can_show() -> None:
    """The pages of the policy list all codes of four axes, and every step."""
    shown = [code for axis in ("status", "identity", "binding", "freshness") for code in meanings.AXES[axis]]
    assert {code.value: meanings.meaning_of(code).long for code in shown} == CODE_WORDS  # type: ignore[union-attr]
    assert list(STEP_WORDS) == list(words.NEXT) == [step.value for step in codes.Advice]


def test_the_command_line_says_every_code_in_words() -> None:
    """`annul check` and `annul receipt show` print a code with its words; one of a later annul stands alone."""
    for table in meanings.AXES.values():
        for code, meaning in table.items():
            assert coded(code.value) == f"{code.value}  {meaning.short}"
    assert (coded("X99"), coded(None)) == ("X99", "")
    assert set(OUTCOME_EXITS) == {outcome.value for outcome in Outcome}
    assert look_of("LATER") == meanings.OUTCOMES[Outcome.NO_ANSWER]


def test_every_status_has_its_sentence_for_every_outcome_of_the_default_policy() -> None:
    """A code that "cannot tell" is never explained by another axis; one of a class has the sentence of the class."""
    for code, meaning in meanings.STATUS.items():
        for channel in Channel:
            outcome = meaning.verdict.outcome(channel)
            key = sentence_key(outcome, code)
            if code.status_class is StatusClass.cannot_tell or outcome in meaning.sentences:
                assert SENTENCES[key] == meaning.sentences[outcome]
            elif outcome is Outcome.STOP:
                assert SENTENCES[key] == meanings.CLASSES[code.status_class].sentence


def test_every_status_that_a_document_can_have_has_a_sample_in_the_demo_and_in_the_sandbox() -> None:
    """The demo's `--sample CODE` and the developers' table are complete."""
    wanted = {code.value for code in StatusCode if code not in WITHHELD}
    assert set(MAKERS) == wanted
    assert {shown.code for shown in sandbox.DOCUMENTS} == wanted


@pytest.mark.parametrize("code", [code for code, meaning in meanings.STATUS.items() if meaning.sample])
def test_a_sample_comes_to_the_state_that_answers_its_code(code: StatusCode) -> None:
    """The rules of the register, not the table, say what its events bring about."""
    sample = meanings.STATUS[code].sample
    assert sample is not None
    state, disputed = sandbox._wanted(sample)
    if sample.valid_until:
        assert (code, state) == (StatusCode.I21, State.current)
    elif disputed:
        assert code is StatusCode.U34
    else:
        assert codes.code_of(state) is code


def test_the_default_policy_is_what_the_table_says() -> None:
    """One verdict a code, in one place."""
    for axis in ("status", "identity", "binding", "freshness"):
        assert getattr(DEFAULT_POLICY, axis) == {code: meaning.verdict for code, meaning in meanings.AXES[axis].items()}


# -- dead is one set ----------------------------------------------------------------------------------------------------


def _row(*states: State) -> Row:
    return Row(1, 0, b"k" * 16, None, None, "generic/A/B", "B", None, None, sum(state.bit for state in states))


def test_a_stolen_blank_is_dead_everywhere() -> None:
    """It was dead to its holder's page and to the clean-up, alive to a report without login and to the desk: decision 0016."""
    assert TERMINAL | {State.blank_stolen} == DEAD
    assert sum(state.bit for state in DEAD) == DEAD_MASK
    for state in State:
        may = acts_of(_row(state), _row(state).standing, provisional=False)
        assert ("lock" in may) == (state in {State.current, State.compromised, State.expired}), state
        assert not (state in DEAD and {"report", "lock", "unlock"} & set(may)), state


def test_no_room_keeps_a_set_of_dead_states_of_its_own() -> None:
    """An expression that names exactly the terminal states, or exactly the dead ones, is a copy that can drift."""
    states, sets = {state.name for state in State}, [{state.name for state in TERMINAL}, {state.name for state in DEAD}]
    copies = []
    for file, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and file.name != "codes.py":
                named = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
                if (named | _texts(node)) & states in sets:
                    copies.append(f"{file.relative_to(SOURCES)}:{node.lineno}")
    assert copies == []


def test_what_counts_as_an_attempt_is_said_by_the_table() -> None:
    """Everything reported or no longer in force but an expired card, of which nobody is harmed."""
    stops = {code for code in StatusCode if code.value[0] in "SI"} - WITHHELD
    assert stops - {StatusCode.I21} == ATTEMPTS


# -- outcomes look alike everywhere -------------------------------------------------------------------------------------

_HEX = re.compile(r"#[0-9a-f]{6}")


def _variables(css: str, block: str) -> dict[str, str]:
    body = css[css.index(block) :].partition("}")[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", body))


def test_screens_and_paper_have_the_colours_of_the_outcomes() -> None:
    """The style sheet and the receipt on paper repeat what the table says, as their formats cannot read it."""
    css = (SOURCES / "web/static/annul.css").read_text(encoding="utf-8")
    light = _variables(css, ":root {")
    bands = dict(re.findall(r"\.answer-([A-Z_]+) \{ --tone: var\(--([a-z]+)\); \}", css))
    assert {code: light[name] for code, name in bands.items()} == {
        code.value: look.ink for code, look in meanings.OUTCOMES.items()
    }
    assert light["refer-ground"] == meanings.OUTCOMES[Outcome.REFER].ground
    paper = (SOURCES / "web/templates/counter/receipt.typ").read_text(encoding="utf-8")
    tones = paper[paper.index("#let tones") :].partition("\n")[0]
    assert dict(re.findall(r'([A-Z_]+): rgb\("(#[0-9a-f]{6})"\)', tones)) == {
        code.value: look.ink for code, look in meanings.OUTCOMES.items()
    }


def test_the_terminal_takes_its_colours_from_the_table() -> None:
    """No other code of ours names a colour of an outcome."""
    inks = {look.ink for look in meanings.OUTCOMES.values()}
    for file, tree in _trees():
        if file.name != "meanings.py":
            found = {
                ink
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
                for ink in _HEX.findall(node.value.lower())
            }
            assert not found & inks, file
    for look in meanings.OUTCOMES.values():
        assert look.terminal == (f"{look.ink} on {look.ground}" if look.ground else f"white on {look.ink}")


@pytest.mark.parametrize("code", list(Outcome))
def test_an_outcome_is_readable_and_has_an_icon(code: Outcome) -> None:
    """Contrast of WCAG 2.2 for large text at least (the word of the band is 44 px high); a drawing of its own."""
    look = meanings.OUTCOMES[code]
    assert _contrast(look.ink, look.ground or "#ffffff") >= 4.5
    assert (SOURCES / f"web/templates/icons/{code.value}.svg").exists()
    assert len({each.sign for each in meanings.OUTCOMES.values()}) == len(Outcome)


def _contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


# -- schemes are asked --------------------------------------------------------------------------------------------------


def test_no_room_compares_a_document_with_the_name_of_a_scheme() -> None:
    """What a scheme does otherwise it says itself; sandbox and demo may name the one they make documents of."""
    names = {*SCHEMES, *(kind.name for kind in schemes.kinds())}
    found = []
    for file, tree in _trees():
        room = file.relative_to(SOURCES).as_posix()
        if room.startswith(("records/schemes/", "demo/", "bench/", "registry/parties/sandbox")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                named = {
                    each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
                found += [f"{room}:{node.lineno}"] if named & names else []
    assert found == []


def test_the_numbers_of_schemes_on_the_wire_are_those_of_the_register() -> None:
    """A receipt's scheme is named by the scheme itself; 0 is none, a number of a later annul is unknown."""
    assert {code: schemes.name_of_code(code) for code in SCHEME_OF_CODE} == {
        scheme.code: name for name, scheme in SCHEMES.items()
    }
    assert (schemes.name_of_code(0), schemes.name_of_code(31)) == (None, "unknown")
    assert not hasattr(receipts, "_SCHEMES")


@pytest.mark.parametrize(
    ("typed", "scheme"),
    [
        (Typed("11010519491231002x", "cn-resident"), "cn-resident"),
        (Typed("45 09 - 123456", "ru-internal"), "ru-internal"),
        (Typed("l898902c3", "icao-9303/P", " uto "), "icao-9303"),
        (Typed("D23145890", "icao-9303/ID", "UTO"), "icao-9303"),
    ],
)
def test_a_document_that_was_typed_can_be_named_again_from_its_row(typed: Typed, scheme: str) -> None:
    """What a form reads and what an officer's act reads back from the register are one document."""
    document = parse_document(SCHEMES[scheme].fields_of_typed(typed))
    again = SCHEMES[scheme].fields_of_row(document.coverage_name, document.kind, document.number)
    assert parse_document(again) == document
    assert schemes.kind_of(document.coverage_name, document.kind).name == typed.kind
    assert schemes.printed(document.number, document.coverage_name).replace(" ", "") == document.number


def test_a_document_of_an_unknown_kind_is_named_again_too() -> None:
    """The generic scheme has issuer and kind of its own."""
    document = parse_document(DocumentFields("generic", "LF20417", issuer="UTO-LAKES", kind="fishing-licence"))
    again = SCHEMES["generic"].fields_of_row(document.coverage_name, document.kind, document.number)
    assert parse_document(again) == document
    assert schemes.kind_of("icao-9303/UTO/AC", "AC").name == "icao-9303/ID"
    assert schemes.kind_of("no-such-scheme/X", "X").name == "generic"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("11010519491231002X", "110105 19491231 002X"),
        ("4509123456", "4509 123456"),
        ("L898902C3", "L898902C3"),
        ("LF2041712345", "LF20 4171 2345"),
        ("450912345", "450912345"),
    ],
)
def test_a_number_is_printed_as_on_its_document(number: str, shown: str) -> None:
    """Its own form tells where nobody says of what scheme it is; a short one stays whole."""
    assert schemes.printed(number) == shown


def _texts(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(SOURCES.rglob("*.py")):
        yield file, ast.parse(file.read_text(encoding="utf-8"))
