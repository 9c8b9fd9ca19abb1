"""One event, one line: format, limits on repeats, and no secret in the text."""
