"""Signals -> control charts: windows, scores, run lengths, limits, a variety's reference."""
