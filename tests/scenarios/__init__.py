"""Readable end-to-end stories against a real, running annul; after each of them the whole world is checked."""
