"""Metrics, health, logs, terminal view and HTTP server: what the agent reports about itself."""
