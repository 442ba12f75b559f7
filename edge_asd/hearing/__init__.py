"""Can the microphone be trusted, and since when not."""
