"""The graphs that are quantised, one file for each library."""
