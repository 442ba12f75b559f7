"""Other networks for a daemon that goes on listening."""
