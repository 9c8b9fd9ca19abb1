"""Topics and payloads: what each message says, and when it is due."""
