"""The way in: sign in by passkey or by the party's key, one's own passkeys, the officers of one's party."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from annul.errors import AnnulError, BadInput, Forbidden
from annul.records.references import Reference
from annul.web.desk.frame import act_for, show, who
from annul.web.desk.words import DUTIES as DUTY_WORDS
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.navigation import duties_of
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.registry.parties.officers import Officer
    from annul.registry.parties.parties import Principal
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=200)]


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the sign-in page: a passkey's answer, or the party's key with the staff number."""

    credential: Annotated[str, Meta(max_length=32_768)] = ""
    challenge: Short = ""
    key: Short = ""
    staff: Reference = ""


class NewPasskey(msgspec.Struct, forbid_unknown_fields=True):
    """Form that keeps a new passkey, or removes one."""

    credential: Annotated[str, Meta(max_length=32_768)] = ""
    challenge: Short = ""
    label: Reference = ""
    remove: Short = ""


class OfficerForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of a new officer."""

    staff: Reference = ""
    name: Short = ""
    duties: list[str] = []


class OfficerChange(msgspec.Struct, forbid_unknown_fields=True):
    """Form of one officer: her duties, whether she works here, a passkey to remove."""

    name: Short = ""
    duties: list[str] = []
    change: Short = "duties"


async def sign_in_page(office: Office, call: Call) -> Reply:
    """Show the ways to sign in."""
    return await _sign_in(office, call, Form())


async def _sign_in(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    asked = await office.officers.begin_sign_in()
    host = call.request.url.hostname
    elsewhere = "" if host == office.officers.host else f"http://{office.officers.host}:{call.request.url.port}/desk/sign-in"
    return pages.page(
        call,
        "desk/sign_in.html",
        form=form,
        status=status,
        challenge=asked.challenge,
        options=msgspec.json.encode(asked.options).decode(),
        elsewhere=elsewhere,
    )


async def sign_in(office: Office, call: Call) -> Reply:
    """Begin an officer's session."""
    body: SignIn = call.body
    translate = pages.translator(call)
    form = Form({"key": "", "staff": body.staff})
    try:
        if body.credential:
            officer, principal, key_id = await office.officers.finish_sign_in(body.challenge, body.credential.encode())
        else:
            if not body.key.strip():
                form.refuse("key", translate(_("Type the key of your office.")))
            if not body.staff.strip():
                form.refuse("staff", translate(_("Type your staff number.")))
            if form.errors:
                return await _sign_in(office, call, form, 400)
            officer, principal = await office.officers.sign_in_by_key(body.key.strip(), body.staff.strip())
            key_id = principal.key_id
    except AnnulError as error:
        return await _sign_in(office, call, form.refused(error, translate), 400)
    return pages.to(await _enter(call, officer, principal, key_id))


async def _enter(call: Call, officer: Officer, principal: Principal, key_id: str) -> str:
    address = await call.seat.enter("officer", officer=officer.id, key_id=key_id, realm=principal.realm)
    return "/counter/policy" if principal.role == "relying_party" and address == "/desk" else address


# -- one's own passkeys ------------------------------------------------------------------------------------------------------


async def passkeys_page(office: Office, call: Call) -> Reply:
    """Show an officer's passkeys, and how to make one."""
    return await _passkeys(office, call, Form(call.kept))


async def _passkeys(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    mine = who(call)
    asked = await office.officers.begin_registration(mine)
    kept = await office.officers.passkeys(mine.id)
    host = call.request.url.hostname
    elsewhere = "" if host == office.officers.host else f"http://{office.officers.host}:{call.request.url.port}/desk/sign-in"
    return show(
        call,
        "desk/passkeys.html",
        status=status,
        form=form,
        kept=kept,
        challenge=asked.challenge,
        options=msgspec.json.encode(asked.options).decode(),
        elsewhere=elsewhere,
    )


async def change_passkeys(office: Office, call: Call) -> Reply:
    """Keep a new passkey, or remove one; a removal ends the sessions that are open."""
    body: NewPasskey = call.body
    mine, translate = who(call), pages.translator(call)
    form = Form({"label": body.label})
    try:
        if body.remove:
            await office.officers.remove_passkey(act_for(call), mine.id, body.remove)
            return pages.to("/desk/sign-in")
        if not body.credential:
            raise BadInput(_("Your browser made no passkey. It needs scripts for that."))
        await office.officers.finish_registration(act_for(call), mine, body.challenge, body.credential.encode(), body.label)
    except AnnulError as error:
        return await _passkeys(office, call, form.refused(error, translate), 400)
    return pages.to("/desk/passkeys", flash=translate(_("The passkey is kept. Use it the next time you sign in.")), call=call)


# -- officers of one's party -------------------------------------------------------------------------------------------------


def _duty_items(call: Call) -> list[tuple[str, str]]:
    translate = pages.translator(call)
    return [(duty, translate(DUTY_WORDS[duty])) for duty in duties_of(call.principal.role)]


async def officers_page(office: Office, call: Call) -> Reply:
    """List the officers of the party."""
    return await _officers(office, call, Form(call.kept or {"duties": ["desk"]}))


async def _officers(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    listed = await office.officers.list(call.principal.id)
    return show(
        call,
        "desk/officers.html",
        status=status,
        form=form,
        listed=listed,
        duties=_duty_items(call),
        words={duty: pages.translator(call)(text) for duty, text in DUTY_WORDS.items()},
    )


async def add_officer(office: Office, call: Call) -> Reply:
    """Record a new officer of the party."""
    body: OfficerForm = call.body
    translate = pages.translator(call)
    form = Form.sent(body)
    try:
        await office.officers.add(act_for(call), call.principal.id, body.staff.strip(), body.name, body.duties)
    except AnnulError as error:
        return await _officers(office, call, form.refused(error, translate), 400)
    return pages.to("/desk/officers", flash=translate(_("The officer can sign in now.")), call=call)


async def officer_page(office: Office, call: Call) -> Reply:
    """Show one officer with her passkeys."""
    return await _officer(office, call, None)


async def _officer(office: Office, call: Call, form: Form | None, status: int = 200) -> Reply:
    found = await office.officers.officer(f"{call.principal.id}/{call.path['staff']}")
    kept = await office.officers.passkeys(found.id)
    form = form or Form({"name": found.name, "duties": found.duties})
    return show(call, "desk/officer.html", status=status, form=form, found=found, kept=kept, duties=_duty_items(call))


async def change_officer(office: Office, call: Call) -> Reply:
    """Change duties, take an officer's access away or give it back, remove a passkey of hers."""
    body: OfficerChange = call.body
    translate = pages.translator(call)
    officer_id, act = f"{call.principal.id}/{call.path['staff']}", act_for(call)
    form = Form.sent(body)
    try:
        if body.change in ("remove", "restore"):
            if officer_id == who(call).id:
                raise Forbidden(_("You cannot take your own access away."))
            await office.officers.change(act, officer_id, active=body.change == "restore")
        elif body.change.startswith("k_"):
            await office.officers.remove_passkey(act, officer_id, body.change)
        else:
            if officer_id == who(call).id and "officers" not in body.duties:
                raise Forbidden(_("Another officer takes this duty from you."))
            await office.officers.change(act, officer_id, name=body.name, duties=body.duties)
    except AnnulError as error:
        return await _officer(office, call, form.refused(error, translate), 400)
    return pages.to(call.request.url.path, flash=translate(_("Changed.")), call=call)
