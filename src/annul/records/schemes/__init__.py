"""One file per kind of document. See `annul.records.scheme` for how to add one."""

from collections.abc import Iterator

from annul.records.scheme import SCHEMES, register_scheme
from annul.records.schemes.cn_resident import CN_RESIDENT
from annul.records.schemes.generic import GENERIC
from annul.records.schemes.icao_9303 import ICAO_9303
from annul.records.schemes.ru_internal import RU_INTERNAL

for _scheme in (CN_RESIDENT, ICAO_9303, RU_INTERNAL, GENERIC):
    register_scheme(_scheme)

__all__ = ["CN_RESIDENT", "GENERIC", "ICAO_9303", "RU_INTERNAL", "SCHEMES"]


def texts() -> Iterator[str]:
    """Yield every text of the schemes that people read, for the catalogues."""
    yield from ()
