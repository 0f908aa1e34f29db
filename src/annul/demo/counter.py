"""Make the bank's counter look used: a policy of its own in force, departures, two urgent needs, one of them overdue."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from annul.client import Client
from annul.errors import Conflict
from annul.registry.writing.store import connect
from annul.times import DAY_US

OVERDUE_US: Final = 43 * DAY_US
"""How long ago the older urgent need was served."""
BRANCH: Final = {"branch": "0421", "clerk": "C-17"}
DEPARTURES: Final = (
    ("U30", "proceeded", "second-document", ""),
    ("U34", "proceeded", "issuer-confirmed", ""),
    ("V00", "refused", "bearer-doubted", ""),
    ("U33", "proceeded", "holder-known", ""),
    ("V01", "refused", "document-doubted", ""),
    ("S13", "proceeded", "other", "the holder unlocked the card while we waited"),
)
"""Status code of the sample, decision, reason, words."""
LOST: Final = {"scheme": "ru-internal", "series": "4517", "number": "424242"}
"""A document that is reported lost for the demo."""


def keep(bank: Client, police: Client, samples: dict[str, Any], conninfo: str) -> None:
    """Bring the counter's data about, once; a later start finds it and does nothing.

    Args:
        bank, police: live credentials.
        samples: status code -> {"document": fields}, live.
        conninfo: the register's database: a due day in the past cannot be had through the doors.
    """
    call = bank.connection
    if call.get("/v1/policies")["in_force"] == 1:
        _release(call)
    if call.get("/v1/departures", {"limit": 1})["departures"]:
        return
    for code, decision, reason, words in DEPARTURES:
        answer = bank.ask(samples[code]["document"], purpose="account-opening", channel="in_person", **BRANCH)
        if (answer.outcome == "PASS") == (decision == "refused"):
            body = {"receipt": answer.receipt, "decision": decision, "reason": reason, "words": words, **BRANCH}
            call.write("/v1/departures", body)
    with contextlib.suppress(Conflict):  # somebody reported it before
        police.connection.write("/v1/reports", {"document": LOST, "kind": "lost", "proof": "in_person"})
    _serve(bank, samples["S10"]["document"], "admission to the hospital", "K-2041")
    older = _serve(bank, LOST, "medicine for a child", "K-1187")
    with connect(conninfo, patient=True) as db:
        db.execute(
            "UPDATE urgent_need SET opened_at_us = opened_at_us - %s, due_at_us = due_at_us - %s WHERE id = %s",
            (OVERDUE_US, OVERDUE_US, older),
        )


def _release(call: Any) -> None:
    """Release a policy of the bank's own (fresher copies), and leave a stricter one as a draft to be tried on past cases.

    What is in force decides every code as the default does: the samples of the demo keep their outcomes.
    """
    policy = call.get("/v1/policies/1")["policy"]
    policy |= {"name": "First Bank", "copy_age_max_s": policy["copy_age_max_s"] // 2}
    draft = call.write("/v1/policies/draft", {"policy": policy, "revision": 0, "note": "copies of half the age"})
    reason = {"revision": draft["revision"], "reason": "decided by the board of security"}
    call.write(f"/v1/policies/{draft['version']}/release", reason)
    policy["name"] = "First Bank: faces are compared"
    policy["status"]["V00"] |= {"advice": ["A3", "A9"]}
    policy["status"]["V01"] |= {"in_person": "REFER", "advice": ["A2", "A3"]}
    call.write("/v1/policies/draft", {"policy": policy, "revision": 0, "note": "after the leak of 2026"})


def _serve(bank: Client, document: dict[str, Any], words: str, reference: str) -> str:
    answer = bank.ask(document, purpose="medical", channel="in_person", **BRANCH)
    confirmed = {"name_and_number_match": True, "genuine": True, "unexpired": True}
    body = {"receipt": answer.receipt, "confirmed": confirmed, "words": words, "reference": reference, **BRANCH}
    return str(bank.connection.write("/v1/urgent-needs", body)["need"])
