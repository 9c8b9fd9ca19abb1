"""Processes that may die: spawn, talk to, kill and replace them, and share frames with them."""
