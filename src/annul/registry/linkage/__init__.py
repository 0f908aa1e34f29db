"""LINKAGE: who relies on a document hears of its death, although nobody presents it; what was derived from a card dies with it.

*Documents on file.* A relying party registers what it has on file as *tokens*: outputs of an oblivious function. It blinds the
carried key of a document, the register raises the blinded point to its secret and proves that it did, the party unblinds. The
register sees noise, the party learns nothing about documents it has not got.

    token = first 32 bytes of VOPRF(ristretto255-SHA512, mode 1; carried key)        one secret an epoch and realm

Two ways from there. *Screening*: the party reads what became of documents under their tokens (`changes`) and compares at home;
the register never learns one customer. *Subscription*: the party leaves its tokens here and is told; the register learns that
the party has a document when that document dies, and not before. Which of the two is the party's choice.

*Digital credentials.* An issuer attaches a wallet's credential to a document. It gets a place in a status list, handed out at
random, and a rule that says what becomes of it when something becomes of the document. Lists are for verifiers who never ask us
about anybody: Token Status List (JWT, CWT) and Bitstring Status List.

    blinding, book, watch   the function; blind, subscribe, acknowledge; follow the register log
    misuse                  what a party suspects: a statement for a case, no verdict
    rules, credentials      what becomes of credentials: one table; attach, state, follow
    packing, signing, press the bytes of lists, their signatures, giving them out of memory

What must never happen here: a token beside a number; an event that is lost; an INVALID that revives; an index that tells the
order of issue.
"""
