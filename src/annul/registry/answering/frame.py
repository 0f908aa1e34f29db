"""Lay out the memory that the window kernels and the Python beside them share. Numbers only.

frame     words of 8 bytes: what a kernel takes and leaves
question  HEAD, then the identity, the context and the holder's name, one question behind the other
row       words that a window keeps of each question
told      words of each ready answer (`answers.Told`), by its number
memo      slots of five words: the four of a fact, then the generation and the number of what is told
"""

from __future__ import annotations

import struct
from typing import Final

from annul.proof.leaf import LEAF_BYTES
from annul.proof.window import STATEMENT_BYTES
from annul.registry.answering.checklog import PRIVATE_FIXED, SIGNATURE_BYTES

WORD: Final = 8

(
    COUNT,
    VALUES,
    TEST_SLOT,
    FRESH,
    MEMO,
    MEMO_MASK,
    GENERATION,
    MISSING,
    ROWS,
    TOLDS,
    USED,
    CHECKED_AT,
    POSITION,
    AS_OF,
    EPOCH_LIVE,
    EPOCH_TEST,
    WORKER,
    WINDOW,
    RECORD,
    HASHES,
    ROOM,
    ROOM_HALF,
    OUT,
    ENDS,
    TEXT_1,
    TEXT_2,
    TEXT_3,
    TEXT_4,
    TEXT_5,
    TEXT_6,
    PLACE,
    TOLD,
) = range(32)
FRAME_WORDS: Final = 32
"""COUNT: questions. TEST_SLOT: first slot of the test realm among keys and VALUES. FRESH: octets of freshness by manner.
MISSING: out, places of questions only Python can tell. USED: out, pairs (told, answers). RECORD: the window's record, made in
place. HASHES: out, the levels of the tree. ROOM: two halves of ROOM_HALF bytes. ENDS: out, where each body ends. TEXT_1 to
TEXT_6: lengths of the texts of a body. PLACE, TOLD: which question is remembered as which ready answer."""

HEAD: Final = struct.Struct("<IIIBBBBBBHIII")
"""Manner, last day, kind | naming, test realm, scheme, identity, binding, blocks, spare | bytes of identity, context, name."""
HEAD_BYTES: Final = HEAD.size
UNTIL_AT, KIND_AT, NAMING_AT, TEST_AT, SCHEME_AT, IDENTITY_AT, BINDING_AT, BLOCKS_AT = 4, 8, 12, 13, 14, 15, 16, 17
IDENTITY_BYTES_AT, CONTEXT_BYTES_AT, HOLDER_BYTES_AT = 20, 24, 28
MALFORMED: Final = 3
"""The naming of a question whose number cannot be one, beside PLAIN, FULL and NUMBER_ONLY."""
FORM_UNKNOWN: Final = 4

ROW_BYTES: Final = 24
ROW_QUESTION, ROW_SLOT, ROW_TOLD = 0, 8, 16

TOLD_BYTES: Final = 96
TOLD_HEAD, TOLD_HEAD_BYTES, TOLD_TAIL, TOLD_TAIL_BYTES, TOLD_STATUS, TOLD_COUNT = 40, 48, 56, 64, 72, 80
MIDDLE_BYTES: Final = 38
"""Bytes of a leaf's middle, which begin a told row."""

MEMO_BYTES: Final = 40

LEAF: Final = LEAF_BYTES
STATEMENT: Final = STATEMENT_BYTES
PRIVATE: Final = PRIVATE_FIXED.size
STATEMENT_AT: Final = 5
SIGNATURE_AT: Final = STATEMENT_AT + STATEMENT_BYTES
LEAVES_AT: Final = SIGNATURE_AT + SIGNATURE_BYTES
"""Offsets in a window's record, see `checklog`."""
