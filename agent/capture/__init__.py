"""Camera to Frame: sources, the capture child of each, and the watch over them."""

from agent.capture.check import check_source

__all__ = ["check_source"]
