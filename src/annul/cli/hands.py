"""Say who acts in a command that works on the register's own machine: somebody with her key, or the operator.

Whoever has the machine may write any name into the register; so a name is written only with the credential that stands for it.
The key comes from demo.json, from the environment, or is asked for on the terminal. Without a name it is the operator who acts:
lists up to the limit come into force, larger ones need two officers with their keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from annul.cli.frame import Place, read_demo
from annul.errors import AnnulError, BadInput, NotFound

if TYPE_CHECKING:
    from annul.registry.parties.parties import Parties, Party, RealmName
    from annul.registry.writing.act import Act

OPERATOR: Final = "operator"
"""Author of what is done on the machine without a credential."""
OFFICER_ROLES: Final = ("issuer", "supervisor")
FIRST_KEY: Final = "ANNUL_KEY"
SECOND_KEY: Final = "ANNUL_SECOND_KEY"


class Hands:
    """Find who acts, with her key.

    Args:
        parties: the register's parties, from the database itself.
        home: whose demo.json may know the key.
        test: the act is about test data.
    """

    def __init__(self, parties: Parties, home: Place, *, test: bool) -> None:
        self._parties, self._home, self._test = parties, home, test
        self._known = asyncio.run(parties.list())

    def first(self, name: str | None) -> Act:
        """Return the act of `--as`: without a name, of the demo's issuer where there is a demo, else of the operator.

        Raises:
            BadInput: there is no key for this name, or the key is not hers.
            NotFound: there is no such officer.
        """
        from annul.registry.writing.act import Act

        if name is None and "issuer" in self._demo():
            name = "issuer"
        if name is None:
            return Act(OPERATOR, "test" if self._test else "live")
        return self._of(name, "--as", FIRST_KEY)

    def second(self, name: str) -> Act:
        """Return the act of `--second`; raises as `first` does."""
        return self._of(name, "--second", SECOND_KEY)

    def _of(self, name: str, option: str, variable: str) -> Act:
        from annul.registry.writing.act import Act

        officer = self._officer(name)
        realm: RealmName = "test" if self._test else "live"
        bearer = self._demo().get(name, {}).get("test_key" if self._test else "key") or os.environ.get(variable, "")
        if not bearer and sys.stdin.isatty():
            bearer = getpass.getpass(f"Key of {officer.id}: ").strip()
        if not bearer:
            raise BadInput(
                f"The key of {officer.id} is needed.",
                where=option,
                mend=f"Set {variable}; without a name, the operator acts.",
            )
        try:
            principal_id, key_id = asyncio.run(self._parties.key_of(bearer, realm))
        except AnnulError:
            principal_id = key_id = ""
        if principal_id != officer.id:
            raise BadInput(f"This is not a working key of {officer.id}.", where=option, mend=f"Compare {variable}.")
        return Act(officer.id, realm, credential=key_id)

    def _demo(self) -> dict[str, Any]:
        with contextlib.suppress(BadInput):
            credentials: dict[str, Any] = read_demo(self._home.folder).get("credentials", {})
            return credentials
        return {}

    def _officer(self, name: str) -> Party:
        ids = {name, self._demo().get(name, {}).get("id", name)}
        for party in self._known:
            if party.id in ids and party.active and party.role in OFFICER_ROLES:
                return party
        raise NotFound(
            f"There is no officer {name!r}.",
            where="--as, --second",
            mend="Name an active issuer or supervisor; see `annul party list`.",
        )
