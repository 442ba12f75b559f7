"""Log lines: their fields in the journal, their kinds, and how often they are repeated."""
