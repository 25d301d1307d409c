"""Building, starting and ending programs."""
