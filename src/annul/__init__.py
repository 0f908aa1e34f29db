"""annul: the open register of identity documents that no longer count.

The rooms, from the ground up: `records` (what is written), `proof` (why it can be believed), `listings` (the table every
check looks into), `registry` (where it happens), `web` (doors). Imports go down only.
"""

__version__ = "0.1.0"
