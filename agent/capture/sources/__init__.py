"""The kinds of camera that capture reads by itself; each runs in a capture child."""
