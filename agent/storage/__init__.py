"""What survives a restart: one SQLite database behind small stores, for alarms and publishing."""
