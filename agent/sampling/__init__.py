"""Which frames are explained, within a compute budget; see README.md beside this file."""
