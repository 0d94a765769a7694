"""Who we are compared with, and how each of them opens a network."""
