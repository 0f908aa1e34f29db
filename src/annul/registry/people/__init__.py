"""The register of persons: who they are, by what numbers documents name them, and what happened to their entries.

Promise: details are readable only with the person's own key; erasing a person is destroying that key; every change is an
entry of the register log with the hash of the record before and after. The check path never comes here: it compares keyed
tags in a table of their own (`tags`), which the follower keeps.

Words: *record* (one person's encrypted details), *version* (what a record was), *tag* (keyed form of "this number belongs to
this name"), *import* (many records as one event), *enrolment* (a portrait or fingerprint template with its consent).

Never in this room: a number, a name or an image in a log line, an error text or a file name; a record without its entry.

    people = People(pool, keys, listings, now_us, home=home)
    recorded = await people.add(act, person, happened_at_us=t)
    view = await people.find(act, "11010519491231002X", case="visit-1")
"""

from typing import Final

from annul.listings.values import FLAGS_SHIFT

"""Folder of the table of names under the data folder."""
KNOWN: Final = 1
"""Value of a number that belongs to a person."""
PHOTO: Final = 1 << FLAGS_SHIFT
"""Flag of a known number: a portrait is on record."""
NAME: Final = 2
"""Value of a number and name that belong together."""
