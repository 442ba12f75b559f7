"""Where events and telemetry go: the durable outbox, MQTT, JSON lines."""
