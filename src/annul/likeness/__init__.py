"""Is the bearer the holder? Comparison 1:1 of face and fingerprint, and evidence of it without the samples.

Promises: samples live in memory only; every score is judged by a measured, versioned calibration at a stated false match rate;
doubt is for the clerk (B3), never a mismatch; hostile files give a specific error in bounded time and memory.
Must never happen here: a search of one among many, a sample or a number in a log, a file or an error, an attack detector that
claims more than was measured. The room imports nothing of annul but the errors: it cannot keep what it cannot reach.

Words: *sample* bytes of a photo, print image or template; *live* taken now from the bearer; *reference*, *enrolled* what the
chip or register holds; *FMR*, *FNMR* false match and false non-match rate (ISO/IEC 19795-1); *own* template made here,
*foreign* made by somebody else.

Example:
    >>> from annul.likeness import face, finger, join
    >>> f = face.compare(photo, portrait, supervised=True)             # doctest: +SKIP
    >>> p = finger.compare(scan, [enrolled_1, enrolled_2], supervised=True)  # doctest: +SKIP
    >>> join([f, p])                                                     # doctest: +SKIP
    (<Result.MATCH: 'match'>, ('alike',))

Parts: `face`, `finger` (compare, extract, quality), `comparison` (results, attempts, policy), `attack` (detectors, challenge),
`evidence` (signed record), `calibration` (thresholds), `template` (ISO/IEC 19794-2), `samples` (bounded decoding), `bench`.
The heavy libraries are loaded at the first comparison; without them MissingPackage names the command that installs them.
"""

from __future__ import annotations

from annul.likeness.comparison import (
    Attempts,
    CapturePolicy,
    Comparison,
    Finding,
    Result,
    exempt,
    join,
)

__all__ = ["Attempts", "CapturePolicy", "Comparison", "Finding", "Result", "exempt", "join"]
