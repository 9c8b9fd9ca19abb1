"""What only the page asks for: the history of a lane, the alarms of before, what operators do."""
