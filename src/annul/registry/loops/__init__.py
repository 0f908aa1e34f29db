"""Run what happens by itself: the follower of the table, the sealer of both logs, the herald of notices, key rotation."""
