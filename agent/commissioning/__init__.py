"""Commissioning a line: collect ordinary production, audit the model, write the reference."""
