"""LINKAGE: who relies on a document hears of its death, although nobody presents it; and says that it did.

A relying party registers what it has on file as *tokens*: outputs of an oblivious function. It blinds the carried key of a
document, the register raises the blinded point to its secret and proves that it did (`blinding`), the party unblinds. The
register sees noise, the party learns nothing about documents it has not got.

    token = first 32 bytes of VOPRF(ristretto255-SHA512, mode 1; carried key)        one secret an epoch and realm

Two ways from there. *Screening*: the party reads what became of documents under their tokens (`changes`) and compares at home;
the register never learns one customer. *Subscription*: the party leaves its tokens here and is told; the register learns that
the party has a document when that document dies, and not before. Which of the two is the party's choice.

    blinding   the oblivious function of this register
    book       blind, subscribe, what was told, acknowledge; limits
    watch      follow the register log: what became of documents, who is told, who has not acknowledged in time
    misuse     what a party suspects: a statement for a case, no verdict

What must never happen here: a token beside a number; an event that is told before its entry is written; an event that is lost.
"""
