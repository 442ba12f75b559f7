"""Everything that helps somebody else to understand an installation, and no secret."""
