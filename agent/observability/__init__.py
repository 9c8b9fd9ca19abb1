"""Metrics, health, logs, the terminal view and the HTTP server: how the agent speaks of itself."""
