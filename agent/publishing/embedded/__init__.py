"""The MQTT broker that runs where none is configured, in a child process."""
