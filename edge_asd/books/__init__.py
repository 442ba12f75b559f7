"""What is written down of every second and every score."""
