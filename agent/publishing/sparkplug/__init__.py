"""Sparkplug B 3.0: the agent as an edge node, each lane as one of its devices."""
