"""Installing edge-asd as a systemd service, and looking at it."""
