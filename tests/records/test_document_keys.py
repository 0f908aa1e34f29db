"""Blocks and document keys: injective packing, keyed blinding, rotation."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import BadInput
from annul.records.divisions import years
from annul.records.document import (
    KEPT_BYTES,
    Document,
    DocumentFields,
    DocumentKeys,
    block,
    both_blocks,
    canonical,
    number_block,
    parse_document,
    person_block,
    unlock_key,
)
from annul.records.former import FormerKeys
from annul.records.schemes.cn_resident import check_character
from annul.records.schemes.ru_internal import blocks_of_numbers

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SECRET, SECOND = bytes(range(32)), bytes(range(1, 33))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Documents of all schemes, near each other so that collisions would show."""
    scheme = draw(st.sampled_from(["cn-resident", "icao-9303", "ru-internal", "generic"]))
    if scheme == "cn-resident":
        born = draw(st.dates(date(1930, 1, 1), date(1990, 12, 31)))
        body = draw(st.sampled_from(sorted(years())[:5])) + born.strftime("%Y%m%d") + f"{draw(st.integers(0, 5)):03d}"
        start = draw(st.dates(date(1991, 1, 1), date(2030, 1, 1))).isoformat()
        return parse_document(DocumentFields(scheme, body + check_character(body), valid_from=start))
    if scheme == "ru-internal":
        number = draw(st.integers(0, 10**10 - 1))
        return parse_document(DocumentFields(scheme, f"{number % 10**6:06d}", series=f"{number // 10**6:04d}"))
    if scheme == "icao-9303":
        number = draw(st.text(ALPHANUMERIC, min_size=1, max_size=22))
        kind, issuer = draw(st.sampled_from(["P", "ID", "A", "C", "AC"])), draw(st.sampled_from(["UTO", "D", "CHN", "USA"]))
        return parse_document(DocumentFields(scheme, number, issuer=issuer, kind=kind))
    number = draw(st.text("AB1", min_size=1, max_size=4))
    names = [draw(st.sampled_from(["A", "B", "AB", "A1"])) for _ in range(2)]
    return parse_document(DocumentFields(scheme, number, issuer=names[0], kind=names[1]))


@settings(max_examples=300)
@given(st.lists(documents(), min_size=2, max_size=30))
def test_different_documents_have_different_blocks(found: list[Document]) -> None:
    """Injective, and in step with the canonical form; number blocks and person blocks meet none of them."""
    by_block = {block(document): canonical(document) for document in found}
    assert len(by_block) == len({canonical(document) for document in found})
    numbers = {number_block(document) for document in found}
    persons = {person_block(document.number) for document in found}
    assert not by_block.keys() & numbers
    assert not by_block.keys() & persons
    assert not numbers & persons
    assert all(len(one) == 16 for one in [*by_block, *numbers, *persons])


@given(documents())
def test_number_block_forgets_the_discriminator_and_only_that(document: Document) -> None:
    """Two cards of one number share it; the end of validity is no part of an identity."""
    fields: dict[str, Any] = {"scheme": document.scheme, "number": document.number, "valid_until": "long-term"}
    if document.scheme == "cn-resident":
        plain = parse_document(DocumentFields(**fields))
        assert number_block(plain) == number_block(document)
        other = parse_document(DocumentFields(**fields, valid_from="2031-01-01"))
        assert number_block(other) == number_block(document)
        assert block(other) != block(document)


@given(documents())
def test_both_blocks_are_the_two_blocks(document: Document) -> None:
    """Made in one go they are the bytes that each alone gives."""
    assert both_blocks(document) == block(document) + number_block(document)


def test_a_number_without_its_card_has_no_block() -> None:
    """The wrong document must not be killed: the missing discriminator is asked for."""
    document = parse_document(DocumentFields("cn-resident", "11010519491231002X"))
    for blocks in (block, both_blocks):
        with pytest.raises(BadInput) as caught:
            blocks(document)
        assert caught.value.where == "/document/valid_from"
    assert len(number_block(document)) == 16


@given(st.lists(st.integers(0, 10**10 - 1), max_size=50))
def test_blocks_in_bulk_equal_single_blocks(numbers: list[int]) -> None:
    """The import of a list and the check at the counter meet in the same bytes."""
    rows = blocks_of_numbers(np.array(numbers, dtype=np.uint64))
    for number, row in zip(numbers, rows, strict=True):
        fields = DocumentFields("ru-internal", f"{number % 10**6:06d}", series=f"{number // 10**6:04d}")
        assert block(parse_document(fields)) == row.tobytes()


@given(st.binary(max_size=64 * 16).map(lambda data: data[: len(data) // 16 * 16]))
def test_keys_come_block_by_block(blocks: bytes) -> None:
    """One call for many equals many calls for one, on both sides of the size where the way of computing changes."""
    keys = DocumentKeys([SECRET, SECOND])
    single = b"".join(keys.blind(blocks[at : at + 16]) for at in range(0, len(blocks), 16))
    assert keys.blind(blocks) == single
    assert keys.blind(blocks * 9) == single * 9
    assert keys.blind(blocks * 300) == single * 300


def test_rotation_rekeys_what_is_stored_without_any_number() -> None:
    """advance(epoch 1) = blind under epochs 1 and 2; the current epoch is left alone."""
    blocks = bytes(range(48))
    first, both = DocumentKeys([SECRET]), DocumentKeys([SECRET, SECOND])
    assert (first.epoch, both.epoch) == (1, 2)
    assert both.advance(first.blind(blocks), 1) == both.blind(blocks)
    assert both.advance(both.blind(blocks), 2) == both.blind(blocks)
    assert both.advance(blocks, 0) == both.blind(blocks)
    for wrong in (3, -1):
        with pytest.raises(ValueError, match="epoch"):
            both.advance(blocks, wrong)


def test_what_a_listing_keeps_of_a_key_is_enough_to_rekey_it() -> None:
    """A slot has the first 11 bytes of a key only: with zeros behind, it advances to the same key."""
    blocks = bytes(range(16)) * 3 + bytes(range(16, 32))
    first, both = DocumentKeys([SECRET]), DocumentKeys([SECRET, SECOND])
    old = first.blind(blocks)
    kept = b"".join(old[at : at + KEPT_BYTES] + bytes(16 - KEPT_BYTES) for at in range(0, len(old), 16))
    assert both.advance(kept, 1) == both.advance(old, 1) == both.blind(blocks)
    assert both.advance(kept[:16], 1) == both.blind(blocks[:16])
    assert len({first.blind(bytes(11) + bytes((n,)) * 5) for n in range(256)}) == 256


def test_blinding_is_aes_256_and_xor() -> None:
    """FIPS 197 appendix C.3: AES-256 of 00112233…ff under 000102…1f, XORed with the block."""
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    cipher = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")
    expected = bytes(left ^ right for left, right in zip(plain, cipher, strict=True))
    assert DocumentKeys([SECRET]).blind(plain) == expected


@pytest.mark.parametrize("secrets", [[], [b"short"], [SECRET, SECRET], [SECRET, b""]])
def test_unsafe_secrets_are_refused(secrets: list[bytes]) -> None:
    """No secret, a short one, the same one twice."""
    with pytest.raises(ValueError, match="secrets"):
        DocumentKeys(secrets)


def test_half_a_block_is_refused() -> None:
    """Keys are never made of bytes that are no block."""
    with pytest.raises(ValueError, match="16 bytes"):
        DocumentKeys([SECRET]).blind(b"x" * 17)


def test_one_instance_serves_several_threads() -> None:
    """Follower, import and checks may share it."""
    keys, blocks = DocumentKeys([SECRET, SECOND]), bytes(range(256))
    expected, wrong = keys.blind(blocks), []

    def work() -> None:
        wrong.extend(1 for _ in range(2000) if keys.blind(blocks) != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unlock_keys_differ_by_document_and_purpose() -> None:
    """An unlock for one purpose opens nothing else."""
    made = {unlock_key(bytes((document,)) * 16, purpose) for document in range(10) for purpose in range(1, 13)}
    assert len(made) == 120


def test_former_keys_are_the_same_kept_or_worked_out() -> None:
    """What rotations added one by one is what a document recorded afterwards is given; the newest secret alone opens it."""
    secrets = [bytes([number]) * 32 for number in (1, 2, 3)]
    block, number = b"document 1 block", b"the number block"
    kept, without = FormerKeys(secrets[:1]).of(block, number), FormerKeys(secrets[:1]).of(block, None)
    assert (kept, without) == (b"", b"")
    for epoch in (1, 2):
        keys, following = DocumentKeys(secrets[:epoch]), FormerKeys(secrets[: epoch + 1])
        rows = [(kept, keys.blind(block), keys.blind(number)), (without, keys.blind(block), None)]
        kept, without = following.renewed(FormerKeys(secrets[:epoch]), rows)
    newest = FormerKeys(secrets)
    assert (kept, without) == (newest.of(block, number), newest.of(block, None))
    documents = [DocumentKeys(secrets[:epoch]).blind(block) for epoch in (1, 2)]
    assert newest.opened(kept) == (documents, [DocumentKeys(secrets[:epoch]).blind(number) for epoch in (1, 2)])
    assert newest.opened(without) == (documents, [])
    assert documents[0] not in FormerKeys(secrets[:2]).opened(kept)[0]
    with pytest.raises(ValueError, match="pairs"):
        newest.opened(kept[:-1])
