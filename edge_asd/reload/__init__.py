"""Another configuration for a daemon that goes on listening."""
