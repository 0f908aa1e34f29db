"""The fictional country: people who do not exist, with documents that follow every rule of the real schemes.

What the room promises: the same seed, size and date give the same people, numbers and histories, on every machine;
memory stays bounded however large the country is; every number passes the check digits of its scheme; every history is
one that `annul.records.status` allows. What must never happen here: a real person's data, or a source of randomness that
is not the seed.

Words: a *country* is the recipe (seed, date); a *batch* is some thousand documents with their lives; a *life* is the
list of events of one document in the order in which they were recorded.

    >>> from annul.demo.country import Country
    >>> country = Country(seed=7, as_of_day=20_000)
    >>> sum(len(batch) for batch in country.documents(1_000))
    1000
"""
