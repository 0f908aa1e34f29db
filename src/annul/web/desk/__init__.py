"""The desk of police and registry officers: sign in, search for a case, report, found cards, disputes, lists, recalls.

Each page parses what was typed, calls one function of the register, and renders. Documents are named by a search and a place in
it, never by a number in an address.
"""
