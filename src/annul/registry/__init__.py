"""The registry: where it happens. Every side effect of annul lies here: database, files, signatures, clocks.

It promises: what was acknowledged is kept, with its author, its two times and its proof; a check is answered from memory and
accounted for before it is answered; what the table says is what the register says.

Words: *register* (documents, reports, entries at dense positions), *follower* (keeps the listings equal to the register),
*window* (the checks answered by one signature and one write barrier), *sealer* (turns entries and windows into the two sealed
logs), *accounts* (who asked what), *bulk event* (one entry for a whole list), *party* (who may ask or report).

What must never happen here: a state without its entry or an entry without its state; an answer without its durable account; a
number in a row, a file or a log line; a position given outside the transaction of its entry.

    recorded = await register.report(Act("police-desk"), document, "lost", happened_at_us=t, proof=Proof.in_person)
    answered = await checks.ask(bank, question)        # STOP, at or after recorded.position
"""
