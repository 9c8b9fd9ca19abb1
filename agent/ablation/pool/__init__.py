"""Engines in processes that may die: slots, deadlines, replacement, messages."""
