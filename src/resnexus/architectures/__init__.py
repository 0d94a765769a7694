"""What a network is: rows of data, the blocks they are built from, and what they cost."""
