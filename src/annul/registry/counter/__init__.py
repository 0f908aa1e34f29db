"""Serve counters beyond the check: comparison of bearer and holder, departures from an answer, attempts with dead cards."""
