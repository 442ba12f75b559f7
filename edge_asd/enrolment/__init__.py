"""Normal sound to a profile: at once, in the daemon, and once more for another bundle."""
