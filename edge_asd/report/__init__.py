"""What monitors say, handed to whoever listens."""
