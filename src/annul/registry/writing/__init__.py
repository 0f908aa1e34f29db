"""Write the register: the one kind of transaction, what may move a document, reports, issues, lists, what stands and what was.

What this room promises: every change is one transaction with its entry at the next dense position and its answer for the
Idempotency-Key. What must never happen here: a status moved without an entry, or acknowledged before checks follow it.
"""
