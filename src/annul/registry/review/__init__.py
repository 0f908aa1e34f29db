"""The clean-up: look over the whole register of persons, suspect, let officers decide, and put right what they decided.

Promise: a run reads and never changes a person or a document; a suspicion is never proof; nothing is changed but by an
officer's decision, and by two where records are merged or documents cancelled; every correction is an entry with before and
after, and can be taken back. What was decided is not asked again while the facts stay the same.

Words: *cause* (wrong, duplicate, false), *rule* (one way to contradict), *suspicion* (records that a rule points at, with its
evidence), *facts* (a keyed hash of what a suspicion rests on), *run* (one pass over the register), *decision*.

Never in this room: a number, a name or an image in a suspicion's row, a log line or an error text; a face vector on disk that
is not sealed under its person's key; a result of linkage or face search that acts by itself.

    figures = run(conninfo, home, keys, Act("registry-1"), now_us)          # read-only; fills the queue
    queue = await review.queue(act, cause="duplicate", region="1101")
    view = await review.view(act, queue.suspicions[0].id, case="visit 4711")
    await review.decide(act, view.suspicion.id, Decision.same_person, grounds="…", keep=view.persons[0].id)
    await review.confirm(second, decision_id)
"""
