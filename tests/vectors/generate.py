"""Make the golden vectors of our own formats from fixed inputs: `python tests/vectors/generate.py`.

The same inputs always give the same files, so that `git diff --exit-code tests/vectors/golden` shows a changed format.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from annul.edge.edition import CHANGES, cohort_name
from annul.edge.grant import key_check
from annul.edge.trust import EDITIONS_NAME, RELEASE_NAME, Manifest
from annul.proof import leaf as leaf_form
from annul.proof import receipt as receipts
from annul.proof.checkpoint import Signer, sign_checkpoint, sign_note
from annul.proof.merkle import leaf_hash, root
from annul.proof.tiles import pack_bundle
from annul.proof.window import NO_STATEMENT, WindowSigner
from annul.proof.words import explain
from annul.records import codes, entry
from annul.records.carried import EditionKey, SealedKeys, carried_secrets, derive
from annul.records.document import (
    Document,
    DocumentFields,
    DocumentKeys,
    block,
    canonical,
    number_block,
    parse_document,
    person_block,
    unlock_key,
)
from annul.records.policy import DEFAULT_POLICY, policy_to_json
from annul.records.references import SALT_BYTES, commit
from annul.records.status import Event, Proof, State, mask
from annul.registry.editions.build import About, Cohort, build
from annul.registry.editions.press import line

GOLDEN = Path(__file__).parent / "golden"
TODAY_DAY = 20_780
"""2026-11-23, so that the ages in the vectors never change."""
AT_US = 1_795_442_400_000_000

DOCUMENTS: list[dict[str, Any]] = [
    {"scheme": "cn-resident", "number": "11010519491231002X", "valid_from": "2016-10-06", "valid_until": "2036-10-06"},
    {"scheme": "cn-resident", "number": "11010519491231002X", "valid_from": "2006-10-06", "valid_until": "long-term"},
    {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3"},
    {
        "scheme": "icao-9303",
        "mrz": ["I<UTOD23145890<7349<<<<<<<<<<<", "3407127M9507122UTO<<<<<<<<<<<2", "STEVENSON<<PETER<JOHN<<<<<<<<<"],
    },
    {"scheme": "icao-9303", "issuer": "UTO", "kind": "ID", "number": "ABCDEFGHIJKLMNOPQRST"},
    {"scheme": "ru-internal", "series": "4509", "number": "123456"},
    {"scheme": "generic", "issuer": "UTOPIA.POST", "kind": "STAFF-CARD", "number": "A/17"},
]
CONTEXT = leaf_form.pack_context("001", "t-4", "c-17", "ref") + leaf_form.pack_text("张三")
SECRETS = [hashlib.sha256(b"annul golden secret %d" % number).digest() for number in (1, 2)]


def documents() -> dict[str, Any]:
    """Blocks, number blocks, canonical identities and keys of two epochs."""
    first, second = DocumentKeys(SECRETS[:1]), DocumentKeys(SECRETS)
    rows = []
    for fields in DOCUMENTS:
        document = parse_document(DocumentFields(**fields), TODAY_DAY)
        rows.append(
            {
                "fields": fields,
                "coverage_name": document.coverage_name,
                "number": document.number,
                "canonical": canonical(document).hex(),
                "block": block(document).hex(),
                "number_block": number_block(document).hex(),
                "key_epoch_1": first.blind(block(document)).hex(),
                "key_epoch_2": second.blind(block(document)).hex(),
                "unlock_key_medical": unlock_key(second.blind(block(document)), codes.Purpose.medical.octet).hex(),
            }
        )
    return {
        "secrets": [secret.hex() for secret in SECRETS],
        "documents": rows,
        "person": {"number": "11010519491231002X", "block": person_block("11010519491231002X").hex()},
    }


def entries() -> dict[str, Any]:
    """One entry of every shape."""
    key = DocumentKeys(SECRETS).blind(block(parse_document(DocumentFields(**DOCUMENTS[0]), TODAY_DAY)))
    bulk = entry.BulkBody(bytes(range(16)), hashlib.sha256(b"segment").digest(), 132_000_000, mask(State.cancelled))
    shapes = {
        "loss": entry.Entry(
            kind=entry.EntryKind.document, recorded_at_us=AT_US, happened_at_us=AT_US - 3_600_000_000, author="police/desk-1",
            reason=Event.report_lost, proof=Proof.in_person, evidence="case 17", document_key=key, number_key=key[::-1],
            key_epoch=2, standing=mask(State.current, State.reported_lost), valid_until_day=24_385, number_count=2,
            detail_hash=hashlib.sha256(b"detail").digest(),
        ),
        "old": entry.Entry(
            kind=entry.EntryKind.document, realm=codes.Realm.test, recorded_at_us=AT_US, happened_at_us=-86_400_000_000,
            author="issuer", reason=Event.blank_stolen, document_key=key, key_epoch=1, standing=mask(State.blank_stolen),
            disputed=True, overrides_bulk=True, valid_until_day=65535,
        ),
        "unlock": entry.Entry(
            kind=entry.EntryKind.unlock, recorded_at_us=AT_US, happened_at_us=AT_US, author="holder", document_key=key,
            key_epoch=2, body=entry.UnlockBody(codes.Purpose.medical, AT_US + 600_000_000).encode(),
        ),
        "bulk": entry.Entry(
            kind=entry.EntryKind.bulk, recorded_at_us=AT_US, happened_at_us=AT_US, author="issuer/a+b",
            reason=Event.bulk_list, evidence="list of 2026-11", body=bulk.encode(),
        ),
        "rotation": entry.Entry(
            kind=entry.EntryKind.rotation, recorded_at_us=AT_US, happened_at_us=AT_US, author="operator",
            body=entry.RotationBody(1, 2).encode(),
        ),
    }  # fmt: skip
    return {name: entry.encode(shape).hex() for name, shape in shapes.items()}


def references() -> dict[str, Any]:
    """Entries that refer to something, by a commitment; with the text and the salt that open it."""
    key = DocumentKeys(SECRETS).blind(block(parse_document(DocumentFields(**DOCUMENTS[0]), TODAY_DAY)))
    salt = hashlib.sha256(b"golden reference salt").digest()[:SALT_BYTES]
    rows = []
    for text in ("case 17", "K-2026/117", "卷宗 17"):
        commitment = commit(salt, text)
        loss = entry.Entry(
            kind=entry.EntryKind.document, recorded_at_us=AT_US, happened_at_us=AT_US - 3_600_000_000, author="police/desk-1",
            reason=Event.report_lost, proof=Proof.in_person, commitment=commitment, document_key=key, number_key=key[::-1],
            key_epoch=2, standing=mask(State.current, State.reported_lost), valid_until_day=24_385, number_count=2,
        )  # fmt: skip
        rows.append({"text": text, "salt": salt.hex(), "commitment": commitment.hex(), "entry": entry.encode(loss).hex()})
    return {"references": rows}


def leaves(count: int) -> list[bytes]:
    """Answers of a window, all different."""
    document = parse_document(DocumentFields(**DOCUMENTS[0]), TODAY_DAY)
    packed = []
    for number in range(count):
        salt = hashlib.sha256(b"golden salt %d" % number).digest()[: leaf_form.SALT_BYTES]
        leaf = leaf_form.Leaf(
            0, AT_US + number, 1234, AT_US - 2000, leaf_form.party_bytes("utopia-bank"),
            codes.Purpose.account_opening.octet, codes.Channel.in_person.octet, 1, codes.Outcome.STOP.octet,
            codes.StatusCode.S10.octet, codes.IdentityCode.M9.octet, codes.BindingCode.B9.octet,
            codes.FreshnessCode.F0.octet, codes.ErrorCode.E00.octet, codes.Coverage.whole_life.octet,
            codes.advice_mask((codes.Advice.A6, codes.Advice.A8)), 1,
            leaf_form.document_commitment(salt, canonical(document)),
            leaf_form.context_commitment(salt, CONTEXT),
        )  # fmt: skip
        packed.append(leaf_form.pack_leaf(leaf))
    return packed


def windows() -> dict[str, Any]:
    """A window of seven answers with all receipts in both forms."""
    signer = WindowSigner(hashlib.sha256(b"golden receipts key").digest())
    packed = leaves(7)
    signed = signer.close(packed, 3, 41, NO_STATEMENT, AT_US + 5000)
    made = [receipts.from_json(receipts.receipt_of(signed, packed, index)) for index in range(7)]
    return {
        "vkey": signer.signer.vkey,
        "salt_0": hashlib.sha256(b"golden salt 0").digest()[: leaf_form.SALT_BYTES].hex(),
        "statement": signed.statement.hex(),
        "signature": signed.signature.hex(),
        "json": [receipts.to_json(receipt) for receipt in made],
        "binary": [receipts.to_binary(receipt).hex() for receipt in made],
        "explained": explain(made[0]),
    }


def logs() -> dict[str, Any]:
    """A bundle of three entries and the signed checkpoint over it."""
    signer = Signer("annul/register", hashlib.sha256(b"golden register key").digest())
    lines = [bytes.fromhex(text) for text in list(entries().values())[:3]]
    top = root([leaf_hash(line) for line in lines])
    return {
        "vkey": signer.vkey,
        "bundle": pack_bundle(lines).hex(),
        "tile": b"".join(leaf_hash(line) for line in lines).hex(),
        "checkpoint": sign_checkpoint("annul/register", 3, top, signer).decode(),
    }


def octets() -> dict[str, Any]:
    """The number of every code: they never change and are never reused."""
    lists = (
        codes.Outcome, codes.StatusCode, codes.StatusClass, codes.IdentityCode, codes.BindingCode, codes.FreshnessCode,
        codes.ErrorCode, codes.Advice, codes.Coverage, codes.Channel, codes.Purpose, codes.Realm, entry.EntryKind, Event, Proof,
    )  # fmt: skip
    found: dict[str, Any] = {one.__name__: {member.value: member.octet for member in one} for one in lists}
    found["State"] = {state.name: state.value for state in State}
    return found


def editions() -> dict[str, Any]:
    """An edition and a supplement of a few hundred documents, the keys they hang on, and a manifest with two signatures."""
    with tempfile.TemporaryDirectory() as folder:
        return _editions(Path(folder))


def _editions(folder: Path) -> dict[str, Any]:
    carried = carried_secrets(SECRETS)
    edition, sealed = hashlib.sha256(b"annul golden edition").hexdigest()[:32], SealedKeys(SECRETS)
    key = EditionKey(derive(SECRETS[-1], f"edition {edition}"))
    cohorts, told = [], []
    for quarter, (count, step) in enumerate(((400, 23), (60, 3), (30, 1), (20, 50)), 180):
        cards = [
            Document("cn-resident", "CN", "resident", f"{quarter:06d}19491231{number:03d}X", 16_000 + quarter)
            for number in range(count)
        ]
        keys = [DocumentKeys(carried).blind(block(card)) for card in cards]
        codes = [0 if number % step else 1 + number // step % 3 for number in range(count)]
        name = cohort_name("cn-resident", "resident") << 16 | quarter
        points = [key.point(each) for each in keys]
        cohorts.append(Cohort(name, np.array(points, np.uint64), np.array(codes, np.uint8)))
        told += [[name, point, code] for point, code in zip(points, codes, strict=True)][:12]
        if quarter == 180:
            shown = {
                "block": block(cards[0]).hex(),
                "carried": keys[0].hex(),
                "sealed": sealed.seal(block(cards[0])).hex(),
                "point": points[0],
            }
    made = build(cohorts, About(bytes.fromhex(edition), 1234, 20_000), folder / "edition.bin")
    changed = [Cohort(each.id, each.points, np.arange(len(each.points)).astype(np.uint8) % 5) for each in cohorts]
    later = build(changed, About(bytes.fromhex(edition), 1300, 20_000, CHANGES, apart=((7, 1), (9, 3))), folder / "changes.bin")
    signers = [Signer(name, hashlib.sha256(name.encode()).digest()) for name in (EDITIONS_NAME, RELEASE_NAME)]
    manifest = Manifest(
        edition=edition, scheme="cn-resident", form="exact", serial=1, previous="", position=1234, last_day=20_000,
        made_at_us=AT_US, expires_at_us=AT_US + 86_400_000_000, key_epoch=2,
        key_check=key_check(derive(SECRETS[-1], f"edition {edition}"), carried), issued=made.issued, listed=made.listed,
        bytes=made.size, entropy_bytes=round(made.entropy_bytes), asked_again=made.asked_again, wrong=made.wrong,
        sha256=made.sha256, digests_sha256=hashlib.sha256(made.digests).hexdigest(),
    )  # fmt: skip
    return {
        "document_secrets": [secret.hex() for secret in SECRETS],
        "carried_secrets": [secret.hex() for secret in carried],
        "edition_key": derive(SECRETS[-1], f"edition {edition}").hex(),
        "document": shown,
        "edition": made.path.read_bytes().hex(),
        "digests": made.digests.hex(),
        "answers": told,
        "supplement": later.path.read_bytes().hex(),
        "changed": [[each.id, int(each.points[place]), place % 5 - 1] for each in changed for place in range(10)],
        "apart": [[7, 0], [8, None], [9, 2]],
        "vkeys": [signer.vkey for signer in signers],
        "manifest": sign_note(line(manifest), *signers).decode(),
    }


def everything() -> dict[str, str]:
    """Return the text of every golden file by name."""
    made = {
        "document-key": documents(), "register-entry": entries(), "register-entry-2": references(), "receipt": windows(),
        "log": logs(), "octets": octets(), "edition": editions(),
    }  # fmt: skip
    texts = {f"{name}.json": json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in made.items()}
    texts["policy.json"] = policy_to_json(DEFAULT_POLICY).decode()
    return texts


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in everything().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
