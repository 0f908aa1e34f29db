"""Answer POST /v1/checks/{check}/photo: the portrait on record, for a check that was just made and matched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from annul.errors import Forbidden, NotFound
from annul.proof import receipt as receipts
from annul.records.check import IdentityCode
from annul.records.document import DocumentFields, canonical, parse_document
from annul.times import MINUTE_US
from annul.web.api.terms import Body, act_of
from annul.web.door.call import Call, Reply, Route, post, tagged
from annul.web.door.who import ANY, CHECK_ID, COUNTERS

if TYPE_CHECKING:
    from annul.web.door.office import Office

PHOTO_WITHIN_US: Final = 15 * MINUTE_US
"""How long after a check its portrait is given out: the bearer is still at the counter."""


class PhotoQuestion(Body):
    """Ask for the portrait on record, with the answer of the check that matched.

    Args:
        document: as it was checked.
        receipt, opening: as the answer to the check holds them.
    """

    document: DocumentFields
    receipt: dict[str, Any]
    opening: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


async def photo(office: Office, call: Call) -> Reply:
    """Give the portrait on record for a check that was just made and matched, marked with the check's number.

    Raises:
        Forbidden: the agreement does not allow it.
        VerificationFailed: the receipt is not ours.
        NotFound: the check is another party's, of another document, too old, or did not match; or there is no portrait.
            Which of these is not told.
    """
    who, body = call.principal, call.body
    agreement = who.agreement
    if agreement is None or not agreement.photo_allowed:
        raise Forbidden("The agreement does not allow portraits.")
    verified = receipts.verify(body.receipt, office.keys.receipt_verifiers())
    leaf = verified.leaf
    document = parse_document(body.document)
    receipts.verify_document(verified, bytes.fromhex(body.opening), canonical(document))
    act = act_of(call)
    mine = leaf.party.rstrip(b"\0") == who.id.encode() and leaf.flags & 1 == act.code.octet
    fresh = 0 <= office.now_us() - leaf.checked_at_us <= PHOTO_WITHIN_US
    matched = leaf.identity == IdentityCode.M0.octet
    nothing = NotFound("There is no portrait for this check.", mend="Ask within 15 minutes after a check that answered M0.")
    if verified.receipt.check != call.path["check"] or not (mine and fresh and matched):
        raise nothing
    try:
        image = await office.enrolments.portrait_of(act, document, mark=call.path["check"])
    except NotFound:
        raise nothing from None
    return Reply(image, "image/jpeg", headers={"cache-control": "no-store", "content-disposition": "inline"})


ROUTES: Final[tuple[Route, ...]] = tagged(
    "persons",
    post(
        "/v1/checks/{check}/photo",
        ANY,
        photo,
        "Get the portrait on record for a check that matched (M0)",
        body=PhotoQuestion,
        media="image/jpeg",
        patterns={"check": CHECK_ID},
        problems=("verification-failed", "unknown-version", "malformed-number", "not-found"),
        use=COUNTERS,
    ),
)
