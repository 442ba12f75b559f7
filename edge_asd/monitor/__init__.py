"""One monitor at work: listening, recording what it will learn from, or kept from it."""
