"""Pitwatch beside other people's explainers, in one run: ``python -m tests.benchmarks``."""
