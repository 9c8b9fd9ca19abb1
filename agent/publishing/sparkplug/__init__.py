"""Sparkplug B 3.0: the agent as an edge node, each camera as one of its devices."""
