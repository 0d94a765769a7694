"""The formats that a network can be written in, one file each."""
