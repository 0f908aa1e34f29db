"""Screen files of documents: every line answered, accounted for and signed as a single check is, and one receipt for the file.

Promise: a result is what a single check of that line would have been told at that position; no result is written before its
account is durable; an interrupted screening of the same file goes on where it stopped. Words: *line* (a row of the file),
*bad line* (no question can be made of it), *receipt* (a signed note about the whole file).

What must never happen here: a number in an error text, a log line or a file name.
"""
