"""Answer checks: the question admitted, the table asked, the answer accounted for and signed, windows kept and read again.

What this room promises: it needs files alone, never the database; no answer leaves before its account is durable. What must
never happen here: an import of the database driver, the web framework or the writing room (a contract holds it).
"""
