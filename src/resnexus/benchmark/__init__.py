"""How fast networks are: timing, the environment it was measured in, and the records that are kept."""
