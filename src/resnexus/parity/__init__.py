"""Whether two networks are the same, and whether one is the original."""
