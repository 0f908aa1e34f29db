"""Refuse JSON that says a member twice: one parser takes the first, another the last, and they read two requests.

    require_once(raw)                    any body, exactly
    require_asked_once(raw, question)    a question of the check path: almost always by counting

Source: RFC 8259 section 4 (names should be unique; what else means is not defined); RFC 7493 section 2.3.
"""

from __future__ import annotations

import json
from typing import Any

from annul.errors import BadInput
from annul.records.check import Question


def require_once(raw: bytes) -> None:
    """Refuse a body in which an object has two members of one name.

    Args:
        raw: JSON in UTF-8 that was decoded already.

    Raises:
        BadInput: it has.
    """
    json.loads(raw, object_pairs_hook=_unique, parse_int=_plain, parse_float=_plain, parse_constant=_plain)


def require_asked_once(raw: bytes, question: Question) -> None:
    """Refuse a question in which a member comes twice.

    Every member has a colon, so where there are as many colons as members were told, none comes twice. Where there are more (a
    member that says its default, a colon in a text) the body is read exactly.

    Args:
        raw: the body, or the part of a batch; `question`: what it was decoded to.

    Raises:
        BadInput: a member comes twice.
    """
    document = question.document
    texts = (
        question.branch,
        question.terminal,
        question.clerk,
        question.reference,
        document.scheme,
        document.number,
        document.valid_from,
        document.valid_until,
        document.issuer,
        document.kind,
        document.series,
    )
    told = 14 - texts.count("") - texts.count(None)  # these, and the three that are always there
    if question.holder is not None:
        told += 2
    if document.mrz is not None:
        told += 1
    if question.min_position:
        told += 1
    if question.urgent:
        told += 1
    if raw.count(b":") != told:
        require_once(raw)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise BadInput("A member is given twice.", where="/", mend="Give every member once.")


def _plain(_text: str) -> None:
    """Read no number: only names are looked at, and a number of a million digits would be worked out."""
