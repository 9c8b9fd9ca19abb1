"""The HTTP server, a process of its own that asks the agent: access, limits, routes."""
