"""A year of faults: any two of the table at once, or one in the wake of the other."""

from tests.soak.year.proof import year

__all__ = ["year"]
