"""A network as a short program of operations, for engines of our own on any device."""
