"""Oversight: the supervisor's pages. Five numbers that matter, and behind every number its list."""
