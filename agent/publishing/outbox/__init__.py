"""What waits for the broker: in memory and on disk, with caps and counters."""
