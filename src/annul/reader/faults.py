"""What can go wrong at the counter's device, each with its own code and next step.

They hang on the one tree of `annul.errors`; the texts hold no number, name or image.
"""

from __future__ import annotations

from typing import ClassVar

from annul.errors import AnnulError, BadInput, NotFound, SourceDown


class NoReader(NotFound):
    """No reader of this kind is connected, or its service is not running."""

    code: ClassVar[str] = "no-reader"


class NoCard(NotFound):
    """The reader is there, but no card answers in it."""

    code: ClassVar[str] = "no-card"


class ReaderGone(SourceDown):
    """The reader or the card went away in the middle of the work."""

    code: ClassVar[str] = "reader-gone"


class CardRefused(AnnulError):
    """The card answered a command with an error status."""

    code: ClassVar[str] = "card-refused"

    def __init__(self, step: str, status: int, *, mend: str | None = None) -> None:
        super().__init__(
            f"The card refused to {step} (status {status:04X}).",
            where=step,
            mend=mend or "Lay the card on the reader again and keep it still.",
            status=f"{status:04X}",
        )
        self.step = step
        self.status = status


class AccessRefused(BadInput):
    """The key made from the printed data does not open this chip."""

    code: ClassVar[str] = "access-refused"

    def __init__(self, protocol: str) -> None:
        super().__init__(
            f"The chip does not accept the key made from the printed data ({protocol}).",
            where=protocol,
            mend="Compare the document number and both dates, or the card access number, with the print.",
        )


class CardMalformed(AnnulError):
    """The card sent data that cannot be of its standard."""

    code: ClassVar[str] = "card-malformed"

    def __init__(self, what: str, *, where: str | None = None) -> None:
        super().__init__(
            f"The card sent data that cannot be right: {what}.",
            where=where,
            mend="Read it again; if it happens again, treat the chip as unreadable.",
        )


class CardUnknown(CardMalformed):
    """The card is well, but of a kind that this program does not know."""

    code: ClassVar[str] = "card-unknown"

    def __init__(self, mark: str) -> None:
        AnnulError.__init__(
            self,
            f"The card is of a kind that is not known here (type mark {mark}).",
            where="resident card",
            mend="Type its number and ask about that.",
        )


class Unreadable(BadInput):
    """The photo does not show the text well enough to be sure of every character."""

    code: ClassVar[str] = "unreadable"


class PortIsTaken(AnnulError):
    """The station's port is used by another program."""

    code: ClassVar[str] = "port-taken"
