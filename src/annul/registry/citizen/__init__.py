"""Serve the person concerned: what is held about them, provisional reports and their undoing, drafts of the pages."""
