"""Another configuration while the agent runs: read, checked whole, and taken over part by part."""
