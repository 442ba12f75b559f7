"""What operators ask of a running daemon, by the control socket or over MQTT."""
