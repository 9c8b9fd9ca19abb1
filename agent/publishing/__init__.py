"""MQTT: topics, payloads, the connection to the broker, and the embedded broker."""
