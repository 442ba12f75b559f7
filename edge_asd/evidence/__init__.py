"""What an alert rests on, kept for people: the sound itself, a picture of it, and numbers."""
