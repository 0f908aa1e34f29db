"""Documents on file, for a head office: what became of them, until when to act, and the word that it was done."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.errors import AnnulError
from annul.web.counter.counter import frame
from annul.web.door import pages
from annul.web.door.forms import Form
from annul.web.door.pages import moment
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.web.door.call import Call, Reply
    from annul.web.door.office import Office

LIST_MAX: Final = 200
STATUS_WORDS: Final = {
    "reported": _("reported by its holder"),
    "not_in_force": _("no longer in force"),
    "ask_online": _("to be checked online"),
    "usable_again": _("usable again"),
}
"""What became of a document on file, in words."""
_TONES: Final = {"reported": "STOP", "not_in_force": "STOP", "ask_online": "REFER", "usable_again": "PASS"}


class Acted(msgspec.Struct, forbid_unknown_fields=True):
    """The button: all events up to this number are acted on."""

    up_to: int


async def overview(office: Office, call: Call) -> Reply:
    """Show what became of documents on file."""
    return await _overview(office, call, Form({}))


async def _overview(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    translate, who, now_us = pages.translator(call), call.principal, office.now_us()
    standing = await office.subscriptions.standing_of(who.id, who.realm)
    newest = await office.subscriptions.open_events(who.id, who.realm, LIST_MAX)
    rows: list[dict[str, Any]] = [
        {
            "number": pages.count(one.number),
            "word": translate(STATUS_WORDS[one.kind]),
            "tone": _TONES[one.kind],
            "token": base64.b64encode(one.token).decode()[:12],
            "told": moment(one.told_at_us, seconds=False),
            "act_by": moment(one.act_by_us, seconds=False),
            "late": one.act_by_us < now_us,
        }
        for one in newest
    ]
    last = max((one.number for one in newest), default=0)
    return pages.page(
        call, "counter/filed.html", status=status, form=form, **frame(call), standing=standing, rows=rows, last=last
    )


async def acknowledge(office: Office, call: Call) -> Reply:
    """Take the word that what became of documents was acted on."""
    translate, who = pages.translator(call), call.principal
    try:
        count = await office.subscriptions.acknowledge(who.id, who.realm, call.body.up_to)
    except AnnulError as error:
        return await _overview(office, call, Form({"up_to": ""}).refused(error, translate), status=400)
    return pages.to("/counter/file", flash=translate(_("%s events are acknowledged.")) % count, call=call)
