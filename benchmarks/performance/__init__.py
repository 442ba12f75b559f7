"""What ``make bench`` measures, and how it becomes ``docs/performance.md``."""
