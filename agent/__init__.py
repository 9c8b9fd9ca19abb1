"""Pitwatch: watches and explains the vision model of a fruit pitting machine, as it runs."""

__version__ = "0.1.0"
