"""The counter: the clerk's one screen, what it asks and what it answers."""
