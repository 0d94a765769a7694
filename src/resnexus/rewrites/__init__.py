"""Functions from a network to one that computes the same in another way, and the table of them."""
