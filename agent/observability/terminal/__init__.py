"""The live view of ``pitwatch run`` in a terminal."""
