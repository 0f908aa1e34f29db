"""The clean-up's doors: the queue for programs, and the review desk for officers of the civil registry.

Nothing of a person is shown without an entry in the log; what an officer looks at is accounted for under the suspicion's id, or
under the case she has open.
"""
