"""How good a network is, and whether two networks are the same."""
