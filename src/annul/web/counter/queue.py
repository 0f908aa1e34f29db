"""Ask what waited in a browser while the register was away. Until then nothing was checked, and the screen said so."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from annul.errors import AnnulError, Conflict
from annul.times import SECOND_US
from annul.web.counter import sealing
from annul.web.counter.counter import ask, no_answer, question_of, remember, shown
from annul.web.door import pages
from annul.web.door.call import Reply
from annul.web.door.problem import problem_of
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.call import Call
    from annul.web.door.office import Office


class Waiting(msgspec.Struct, forbid_unknown_fields=True):
    """One question as the browser sealed it."""

    sealed: str


async def asked_late(office: Office, call: Call) -> Reply:
    """Answer one question that waited, as JSON for the page's script: outcome, word, sentence, steps, receipt."""
    translate = pages.translator(call)
    purpose = ""
    late = ""
    try:
        queued = sealing.open_queued(office, call.body.sealed, call.session.key_id)
        age_s = office.now_us() // SECOND_US - queued.asked_s
        if age_s > sealing.QUEUED_S:
            raise Conflict("The question waited longer than a day.", mend="Check the document anew.")
        question = question_of(call, queued.form)
        purpose = question.purpose
        told: dict[str, Any] = shown(await ask(office, call.principal, question), office.now_us(), translate)
        minutes = max(0, age_s) // 60
        late = translate(_("asked %d min ago, answered now")) % minutes
    except AnnulError as error:
        told = no_answer(str(problem_of(error).members.get("error", "E94")), translate)
        late = " ".join(translate(part) for part in (error.message, error.mend or "") if part)
    remember(office, call, told, purpose)
    return Reply(msgspec.json.encode(told | {"late": late}), "application/json")


async def offline(office: Office, call: Call) -> Reply:
    """Show the page a browser keeps for the time when the register is away: the form alone, no answer."""
    return pages.page(
        call,
        "counter/offline.html",
        training=False,
        home="/counter",
        place=None,
        queue_key=sealing.queue_public_key(office),
    )


async def worker(_office: Office, _call: Call) -> Reply:
    """Answer the script that keeps the offline page; it may keep it for all addresses of the counter."""
    data = (resources.files("annul.web") / "static" / "counter-worker.js").read_bytes()
    return Reply(data, "text/javascript", headers={"service-worker-allowed": "/counter", "cache-control": "no-cache"})
