"""Commands about witnesses: be one for other registers, and ask others to cosign this register's logs."""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Annotated, Any

import typer

from annul.cli.frame import Exit, Place, Show, takes_groups
from annul.errors import BadInput

witness_app = typer.Typer(no_args_is_help=True, help="Witnesses of the sealed logs: be one, ask others.")


@witness_app.command("serve")
@takes_groups
def witness_serve(
    home: Place,
    show: Show,
    name: Annotated[str, typer.Option(help="Name of this witness, like witness.example.org/w1; needed at first.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 picks a free one.")] = 8460,
) -> int:
    """Be a witness until Ctrl-C: cosign checkpoints of the logs that were added, when they only grew (C2SP tlog-witness)."""
    import time

    from annul.witness.server import server_of
    from annul.witness.witness import Witness, load_or_create

    cosigner = load_or_create(home.folder.witness_keys, name)
    witness = Witness(home.folder.watched, cosigner, lambda: int(time.time()))
    keys = [key.vkey for key in cosigner.keys]
    with server_of(witness, "".join(f"{key}\n" for key in keys).encode(), host, port) as server:
        url = f"http://{host}:{server.server_address[1]}"
        lines = [f"✔  WITNESS  {cosigner.name} at {url}", *(f"   {key}" for key in keys)]
        show.result({"name": cosigner.name, "url": url, "keys": keys}, "\n".join(lines))
        sys.stdout.flush()
        server.serve_forever()
    return Exit.DONE


@witness_app.command("add")
@takes_groups
def witness_add(
    home: Place,
    show: Show,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Verifier key: of a log to watch, or of a witness to ask.")],
    url: Annotated[str, typer.Option("--url", help="Address of the witness to ask.")] = "",
) -> int:
    """Watch a log (its key, kind 0x01), or ask a witness (its key, kind 0x04 or 0x06, with --url)."""
    from annul.proof.checkpoint import Verifier
    from annul.proof.cosignature import WitnessKey
    from annul.witness import asking, witness

    if _kind(key) == 1:
        log = Verifier.parse(key)
        if url:
            raise BadInput("This is the key of a log: it has no address.", where="--url", mend="Leave --url out.")
        new, what, name = witness.watch(home.folder.watched, log), "WATCHED", log.name
    else:
        other = WitnessKey.parse(key)
        if not url:
            raise BadInput("This is the key of a witness.", where="--url", mend="Say where it is with --url.")
        new, what, name = asking.add(home.folder.witnesses, url, other), "ASKED", other.name
    told = f"✔  {what}  {name}" if new else f"   KNOWN  {name}"
    show.result({"name": name, "what": what.lower(), "new": new}, told)
    return Exit.DONE


def _kind(key: str) -> int:
    """Return the first byte of a verifier key: what it is for; 0 when it cannot be read."""
    try:
        return base64.b64decode(key.strip().split("+", 2)[2], validate=True)[0]
    except (IndexError, binascii.Error):
        return 0


@witness_app.command("list")
@takes_groups
def witness_list(home: Place, show: Show) -> int:
    """List the logs this witness watches, and the witnesses this register asks with what they cosigned last."""
    from annul.errors import NotFound
    from annul.witness import asking, witness

    try:
        own = [key.vkey for key in witness.load_or_create(home.folder.witness_keys).keys]
    except NotFound:
        own = []
    watched = [each._asdict() for each in witness.watched(home.folder.watched)]
    asked = [row for each in asking.asked(home.folder.witnesses) for row in _cosigned(home, each)]
    found = {"keys": own, "watched": watched, "asked": asked}

    def text() -> None:
        for key in own:
            print(f"own key  {key}")
        for log in watched:
            print(f"watched  {log['origin']}  {log['size']:,} entries")
        for row in asked:
            print(f"asked    {row['name']}  {row['url']}  {row['log']}: {row['size']:,} entries, {row['at'] or 'never'}")
        if not (own or watched or asked):
            print("No log is watched and no witness is asked.")

    show.result(found, text)
    return Exit.DONE


def _cosigned(home: Place, witness: Any) -> list[dict[str, Any]]:
    """Say what a witness cosigned last of each log."""
    from annul.times import SECOND_US, rfc3339
    from annul.witness.asking import LOGS, last_cosigned

    rows = []
    for log in LOGS:
        size, at_s = last_cosigned(home.folder, log, witness)
        at = rfc3339(at_s * SECOND_US) if at_s else None
        rows.append({"name": witness.keys[0].name, "url": witness.url, "log": log, "size": size, "at": at})
    return rows
