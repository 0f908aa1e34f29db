"""Pages for everybody: the first page, receipts, figures, the state of the service."""
