"""Lists at the desk: send one in, see what it would do, let a second officer confirm it, take it back as one event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta
from multipart import MultipartError, PushMultipartParser, parse_options_header

from annul.errors import AnnulError, BadInput, Forbidden
from annul.records.references import Reference
from annul.records.status import State
from annul.registry.writing.act import Act, same_person
from annul.registry.writing.bulk import BulkView
from annul.registry.writing.uploads import UPLOAD_BYTES_MAX, Upload, too_large
from annul.web.desk.frame import act_for, options, show, who
from annul.web.desk.words import BULK_STATES
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.names import names_of
from annul.web.door.words import STATES, _

if TYPE_CHECKING:
    from annul.registry.writing.uploads import UploadView
    from annul.web.door.office import Office

Short = Annotated[str, Meta(max_length=200)]
TEXT_MAX: Final = 4096
"""All texts of the form together, in bytes."""
DRAIN_BYTES_MAX: Final = 512 * 1024 * 1024
"""How much of a file that is too large is read and thrown away, so that the browser hears why."""
LISTABLE: Final = (
    State.revoked,
    State.cancelled,
    State.superseded,
    State.reported_lost,
    State.reported_stolen,
    State.blank_stolen,
)
FIELDS: Final = ("format", "state", "evidence", "show_lines", "parked")
"""Fields of the form that sends a list in, beside its file."""
FORMATS: Final = {
    "interchange": (_("Interchange list"), _("CSV, NDJSON or Parquet; each line says what it lists")),
    "russian": (_("Russian list"), _("PASSP_SERIES,PASSP_NUMBER; CSV, plain or packed")),
}


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """Form of one list: confirm, discard or take it back."""

    do: Short = ""
    evidence: Reference = ""


class UploadAct(msgspec.Struct, forbid_unknown_fields=True):
    """Form of a list on its way: go on, or throw it away."""

    do: Short = ""


async def listed(office: Office, call: Call) -> Reply:
    """List bulk events and the lists on their way."""
    return await _listed(office, call, Form(call.kept or {"format": "interchange", "state": "revoked"}))


async def _listed(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    act = act_for(call)
    events = await office.bulk.list(act)
    named = await names_of(office, (view.staged_by for view in events), pages.translator(call))
    states = [(state.name, pages.translator(call)(STATES[state.name])) for state in LISTABLE]
    mine = who(call).id
    waiting = [view for view in office.uploads.list(act) if view.phase != "staged"]
    running = [view for view in waiting if view.phase != "parked"]
    parked = next((view for view in waiting if view.id == form["parked"] and view.author == mine), None)
    return show(
        call,
        "desk/bulk.html",
        status=status,
        form=form,
        events=[_line(call, view) for view in events],
        named=named,
        formats=options(call, FORMATS),
        states=states,
        running=running,
        parked=parked,
        limit_mb=UPLOAD_BYTES_MAX // (1024 * 1024),
        limit=office.settings.bulk_limit,
    )


def _line(call: Call, view: BulkView) -> dict[str, Any]:
    translate = pages.translator(call)
    tone = {"in_force": "STOP", "staged": "REFER"}.get(view.state, "")
    return {
        "view": view,
        "state": translate(BULK_STATES[view.state]),
        "tone": tone,
        "listed": ", ".join(translate(STATES[state]) for state in view.listed),
        "staged": pages.moment(view.staged_at_us),
    }


async def send(office: Office, call: Call) -> Reply:
    """Receive a list and begin to read it; the page that follows shows how far it is."""
    translate = pages.translator(call)
    form = Form(dict.fromkeys(FIELDS, "") | {"file": ""})
    try:
        upload = await _receive(office, call, form)
        shown = form["show_lines"] == "yes"
        if not form["evidence"]:
            raise BadInput(_("Give the reference of the decision behind the list."), where="evidence")
        office.uploads.complete(
            _plain(call), upload, format=form["format"], state=form["state"], evidence=form["evidence"], show_lines=shown
        )
        office.uploads.begin(_plain(call), upload)
    except Forbidden:
        raise
    except AnnulError as error:
        return await _listed(office, call, form.refused(error, translate), 400)
    return pages.to(f"/desk/bulk/uploads/{upload}")


def _plain(call: Call) -> Act:
    return Act(who(call).id, call.session.realm, credential=call.session.key_id)


async def _receive(office: Office, call: Call, form: Form) -> str:
    """Read the form part by part; the file goes to a place of its own and never through memory as a whole.

    Returns:
        The id of the parked file: of this form, or the one an earlier form of the same officer had brought.

    Raises:
        TooLarge: said before anything is kept. Forbidden: the form is not of this session. BadInput: no form, or no file.
    """
    request = call.request
    kind, extra = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or "boundary" not in extra:
        raise BadInput("The form must be multipart/form-data.", where="file")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > UPLOAD_BYTES_MAX + TEXT_MAX:
        await _drain(request.stream())
        raise too_large()
    texts: dict[str, bytes] = {}
    upload: Upload | None = None
    name = ""
    parser = PushMultipartParser(extra["boundary"], max_segment_count=16)
    try:
        async for chunk in request.stream():
            for event in parser.parse(chunk) if chunk else ():
                if event is None:
                    name = ""
                elif isinstance(event, bytes | bytearray):
                    if name == "file" and upload is not None:
                        upload.write(bytes(event))
                    elif name and len(texts[name]) + len(event) <= TEXT_MAX:
                        texts[name] += bytes(event)
                else:
                    name = event.name or ""
                    if name == "file" and event.filename:
                        _require_session(call, texts, form)
                        upload = office.uploads.open(_plain(call), name=event.filename)
                    elif name != "file":
                        texts[name] = b""
        if upload is None:
            _require_session(call, texts, form)
            if not form["parked"] or office.uploads.view(_plain(call), form["parked"]).author != who(call).id:
                raise BadInput(_("Choose the file of the list."), where="file")
        elif not upload.close():
            raise BadInput(_("Choose the file of the list."), where="file")
        else:
            if form["parked"]:  # another file was chosen instead
                office.uploads.discard(_plain(call), form["parked"])
            form.values["parked"] = upload.id
    except MultipartError:
        _drop(upload)
        raise BadInput("The form cannot be read.", where="file", mend="Send the file again.") from None
    except BaseException:
        _drop(upload)
        raise
    return str(form["parked"])


def _drop(upload: Upload | None) -> None:
    if upload is not None:
        upload.drop()


def _require_session(call: Call, texts: dict[str, bytes], form: Form) -> None:
    """Hold the form's token and take its texts, which stand before the file.

    Raises:
        Forbidden: another site sent it, or the session was renewed.
        BadInput: the texts are none.
    """
    try:
        told = {name: value.decode("utf-8") for name, value in texts.items()}
    except UnicodeDecodeError:
        raise BadInput("The form cannot be read.", where="file") from None
    if not call.seat.sent(told.get("csrf", "")):
        raise Forbidden("The form is not of this session.", mend="Open the page again and send the form once more.")
    form.values |= {name: told.get(name, "").strip()[:200] for name in FIELDS}


async def _drain(stream: AsyncIterator[bytes]) -> None:
    read = 0
    async for chunk in stream:
        read += len(chunk)
        if read > DRAIN_BYTES_MAX:
            return


async def uploading(office: Office, call: Call) -> Reply:
    """Show how far a list is; it goes on whether or not anybody looks."""
    view = office.uploads.view(act_for(call), call.path["upload"])
    if view.phase == "staged":
        return pages.to(f"/desk/bulk/{view.bulk}")
    return await _upload(office, call, view, Form())


async def _upload(office: Office, call: Call, view: UploadView, form: Form, status: int = 200) -> Reply:
    translate = pages.translator(call)
    running = view.phase in ("receiving", "reading") and not view.stopped
    headers = {"refresh": "2"} if running else {}
    told = {"error": translate(view.error) if view.error else "", "mend": translate(view.mend) if view.mend else ""}
    author = (await names_of(office, [view.author], translate))(view.author)
    reply = show(call, "desk/upload.html", status=status, form=form, view=view, running=running, told=told, author=author)
    return replace(reply, headers=reply.headers | headers)


async def upload_act(office: Office, call: Call) -> Reply:
    """Go on with a list whose reading stopped, or throw it away."""
    act, translate = _plain(call), pages.translator(call)
    form = Form()
    try:
        if call.body.do == "discard":
            office.uploads.discard(act, call.path["upload"])
            return pages.to("/desk/bulk", flash=translate(_("Discarded. Nothing of it is listed.")), call=call)
        office.uploads.begin(act, call.path["upload"])
    except AnnulError as error:
        return await _upload(office, call, office.uploads.view(act, call.path["upload"]), form.refused(error, translate), 400)
    return pages.to(call.request.url.path)


async def one(office: Office, call: Call) -> Reply:
    """Show a list: what it would do, samples, bad lines by cause; and the one step that is next."""
    return await _one(office, call, Form(call.kept))


async def _one(office: Office, call: Call, form: Form, status: int = 200) -> Reply:
    view = await office.bulk.view(act_for(call), call.path["bulk"])
    translate = pages.translator(call)
    named = await names_of(office, (view.staged_by, view.confirmed_by, view.undone_by), translate)
    mine = same_person(view.staged_by, who(call).id)
    hits = [(translate(STATES[state]), count) for state, count in sorted(view.hits.items(), key=lambda item: -item[1])]
    return show(
        call,
        "desk/bulk_event.html",
        status=status,
        form=form,
        line=_line(call, view),
        named=named,
        view=view,
        hits=hits,
        bad_count=sum(cause.count for cause in view.bad.values()),
        mine=mine and view.two_officers,
        wrongly=view.hits.get("current", 0),
        same=await office.bulk.same_file(act_for(call), view.id),
        lines_shown=await office.bulk.lines(act_for(call), view.id),
        status_words=STATES,
    )


async def decide(office: Office, call: Call) -> Reply:
    """Confirm, discard or take back a list."""
    body: Decision = call.body
    act, translate, bulk_id = act_for(call), pages.translator(call), call.path["bulk"]
    form = Form.sent(body)
    try:
        if body.do == "discard":
            await office.bulk.discard(act, bulk_id)
            told = _("Discarded. Nothing of it is listed.")
        elif body.do in ("confirm", "undo"):
            if not body.evidence.strip():
                raise BadInput(_("Give the reference of the decision."), where="evidence")
            if body.do == "confirm":
                await office.bulk.confirm(act, bulk_id, evidence=body.evidence.strip())
                told = _("In force. Every check point refuses what it lists.")
            else:
                await office.bulk.undo(act, bulk_id, evidence=body.evidence.strip())
                told = _("Withdrawn as one event. What it alone had listed can be used again.")
        else:
            raise BadInput(_("Choose what to do."))
    except AnnulError as error:
        return await _one(office, call, form.refused(error, translate), 400)
    return pages.to(f"/desk/bulk/{bulk_id}", flash=translate(told), call=call)
