"""The one step that undoes a provisional report: a code that only the notice to the holder and a report's last page hold."""

from __future__ import annotations

import base64
import hmac
import re

from annul.errors import NotFound
from annul.keys import Keys

_FORM = re.compile(r"(r_[0-9a-f]{24})-([a-z2-7]{20})")


class Undo:
    """Make and read codes. A code is a keyed form of the report's id: nothing is stored, and nobody can guess one."""

    def __init__(self, keys: Keys) -> None:
        self._key = hmac.digest(keys.session, b"annul undo of a provisional report v1", "sha256")

    def code(self, report_id: str) -> str:
        """Return the code of a report: its id and 100 bits of proof."""
        proof = hmac.digest(self._key, report_id.encode(), "sha256")
        return f"{report_id}-{base64.b32encode(proof).decode().lower()[:20]}"

    def address(self, url: str, report_id: str) -> str:
        """Return the address of the page that asks once and undoes the report."""
        return f"{url}/undo/{self.code(report_id)}"

    def report(self, code: str) -> str:
        """Return the id of the report a code undoes.

        Raises:
            NotFound: it is no code of this register.
        """
        found = _FORM.fullmatch(code.strip().lower())
        if found is None or not hmac.compare_digest(self.code(found[1]), found[0]):
            raise NotFound("This is not a code to undo a report.", mend="Open the address in the message again, complete.")
        return found[1]
