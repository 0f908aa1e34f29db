"""Reading what the counter's device sees: zone, chip, resident card.

Every way of reading ends in a `Reading`: the document to ask about, the holder, the portrait, and what the chip proved.
Words: *zone* = machine-readable zone; *chip* = contactless chip of an electronic document (ICAO Doc 9303); *box* = the
reader of Chinese resident cards with its security module.

Never in this room: a document number, a name or an image in a log, an error text or a file. Never a guess: a character
that is not certain is refused, a proof that does not hold is named.

    >>> import datetime
    >>> from annul.records.mrz import read_typed
    >>> zone = read_typed("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ...                   datetime.date(2026, 6, 1))
    >>> zone.number, zone.name, zone.expiry
    ('L898902C3', 'ERIKSSON, ANNA MARIA', '2012-04-15')

Modules: `reading` (the result), `zone_photo` and `resident_photo` (cameras), `chip` (PC/SC), `resident_card` (serial
box), `station` (the program beside the browser). The rest serves them. Heavy packages load when they are first used.
"""

from annul.reader.reading import Assurance, ChipAuthentication, ChipEvidence, HolderFields, Means, Reading, of_zone

__all__ = ["Assurance", "ChipAuthentication", "ChipEvidence", "HolderFields", "Means", "Reading", "of_zone"]
