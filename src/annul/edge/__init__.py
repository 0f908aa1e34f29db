"""WHAT A VERIFIER CARRIES: exact editions of the listings, and the rules by which they may be believed.

This room promises: an answer offline is the register's own, as of a stated position, or no answer. Inside what an edition
covers LISTED and NOT_LISTED are exact; outside it says NOT_COVERED; from a state that is not fresh it never says NOT_LISTED.
It needs neither server nor database driver, neither numba nor numpy: records, proof, errors, and the standard library.

    edition   read a file of an edition, mapped, without parsing
    supplement   what changed since
    trust     bytes in, verdict out: who signed, is it newer, is it still good, how fresh is it
    store     the folder of an edge; written aside, renamed into place
    sync      fetch what is missing by ranges, check, keep
    journal   what was answered offline, in windows the device signs

What must never happen here: an answer from bytes that no threshold of keys signed; a state older than one that was held.

    edge = Edge(Store(home), now_us)
    edge.check(document)                 # Finding(verdict=LISTED, class_="reported", …)
"""
