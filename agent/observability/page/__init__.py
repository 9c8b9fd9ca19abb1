"""The page at ``/``: its parts, and its words in each language."""
