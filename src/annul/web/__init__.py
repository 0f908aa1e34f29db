"""The doors of the office: the HTTP API, the clerk's page, the pages for everybody.

What this room promises. Each door authenticates, decodes strictly, calls one function of the registry, and renders what it
returns. Who may call an address stands in one table (`routes`, the
lines of all rooms), and a route that does not say it stops the start. Every
refusal is an RFC 9457 problem from one table (`problem`). A write is acknowledged when the check path acts on it.

Its words: a *route* is a line of the table; a *call* is a request that has passed the door; a *reply* is an answer that is
not JSON; the *check path* is the bare ASGI callable in front, which answers checks alone.

What must never happen here: an answer to somebody who was not asked who they are; a document number in an address, a log
line, a cookie or an error text; a value of a request that comes back in a problem; a missing answer that looks like a pass;
a call to the database around the registry; anything on a page that is fetched from elsewhere or runs as a script.

    async with open_office(settings, conninfo, worker=0) as office:      # annul.app
        app = create_web(office, Mounted(ROUTES))                        # annul.web.doors; any ASGI server runs it
"""
