"""Pitwatch: a streaming agent that watches and explains the vision model of a fruit pitting machine."""

__version__ = "0.1.0"
