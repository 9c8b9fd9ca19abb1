"""Findings of the charts -> the one alarm under which they are raised."""
