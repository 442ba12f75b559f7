"""The one thread that runs every monitor: what it waits for, and what it is asked."""
