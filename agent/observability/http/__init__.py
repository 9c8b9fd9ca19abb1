"""The HTTP server, a process of its own that calls the agent: access, limits, routes."""
