"""Log a citizen in and out: the page, the way to the provider, the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annul.errors import AnnulError
from annul.web.door import pages
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.oidc import Login

if TYPE_CHECKING:
    from annul.web.door.office import Office


def login_of(office: Office) -> Login:
    """Return the provider's relying party of an office: it keeps the provider's metadata and keys for a while."""
    if office.login is None:
        office.login = Login(office)
    login: Login = office.login
    return login


async def show(office: Office, call: Call) -> Reply:
    """Offer the login."""
    session = call.seat.session
    if session is not None and session.kind == "citizen":
        return pages.to("/my")
    assert call.seat.csrf  # a visitor's session keeps where the login was asked for
    return pages.page(call, "citizen/sign_in.html", offered=login_of(office).offered, demo=office.settings.demo)


async def go(office: Office, call: Call) -> Reply:
    """Send the browser to the provider."""
    login = login_of(office)
    try:
        address, cookie = await login.begin()
    except AnnulError as error:
        form = Form().refused(error, pages.translator(call))
        return pages.page(call, "citizen/sign_in.html", form=form, status=503, offered=False, demo=office.settings.demo)
    return Reply(b"", pages.HTML, 303, {"location": address}, (cookie,))


async def back(office: Office, call: Call) -> Reply:
    """Take the browser back from the provider and begin the session; what fails says so and offers the login again."""
    login = login_of(office)
    try:
        who = await login.finish(call.request, dict(call.request.query_params))
        person = await office.citizens.log_in(who.issuer, who.subject, who.number)
    except AnnulError as error:
        form = Form().refused(error, pages.translator(call))
        reply = pages.page(
            call, "citizen/sign_in.html", form=form, status=400, offered=login.offered, demo=office.settings.demo
        )
        return Reply(reply.body, reply.media, reply.status, reply.headers, (*reply.cookies, login.gone()))
    address = await call.seat.enter("citizen", person=person, strength="strong" if who.strong else "weak")
    reply = pages.to(address)
    return Reply(reply.body, reply.media, reply.status, reply.headers, (login.gone(),))
