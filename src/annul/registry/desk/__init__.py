"""Serve officers: searches with a case, found cards and their custody, disputes, recalls of answers that were wrong."""
