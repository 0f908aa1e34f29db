"""Join the parts of this room: one thing for an office to hold.

conduct = Conduct(ground, accounts)
await conduct.findings.list("live", party="bank")
"""

from __future__ import annotations

from annul.registry.accounts.accounts import Accounts
from annul.registry.conduct.abuse import Abuse
from annul.registry.conduct.cases import Cases
from annul.registry.conduct.duties import Duties
from annul.registry.conduct.events import BusinessEvents
from annul.registry.conduct.findings import Findings
from annul.registry.conduct.impostors import Impostors
from annul.registry.conduct.scorecard import Scorecards
from annul.registry.writing.ground import Ground


class Conduct:
    """Hold what watches how the register is used.

    Args:
        ground: what every part stands on.
        accounts: finds the check of a receipt.
    """

    def __init__(self, ground: Ground, accounts: Accounts) -> None:
        self.duties = Duties(ground)
        self.events = BusinessEvents(ground)
        self.cases, self.impostors = Cases(ground), Impostors(ground)
        self.abuse = Abuse(ground)
        self.findings = Findings(ground, accounts)
        self.scorecards = Scorecards(ground.connections, ground.now_us)
