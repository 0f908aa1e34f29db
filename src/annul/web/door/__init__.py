"""Stand at the door: connections, the check path, who comes in, sessions, problems, and what every page is made with.

What this room promises: nobody is let in whom the route table does not name, and every refusal has the same words for a program
and a person. What must never happen here: a body, a bearer or a document number in a log line.
"""
