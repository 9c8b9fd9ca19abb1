"""Findings of rules and charts -> the one alarm to which each is attributed."""
