"""Cameras behind a GenTL producer: with the extra ``pitwatch[genicam]``."""
