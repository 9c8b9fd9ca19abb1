"""Which numbers are charted, and how they are read from fruit and explanations."""
