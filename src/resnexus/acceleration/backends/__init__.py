"""What runs a network: one contract, and one file for each library that keeps it."""
