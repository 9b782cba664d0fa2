"""The board: static pages of all records."""
