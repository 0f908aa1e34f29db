"""Answer programs, one file a topic: its structs, its handlers, and its lines of the route table."""
