"""One MQTT connection: its states, what is sent on it, and how it ends."""
