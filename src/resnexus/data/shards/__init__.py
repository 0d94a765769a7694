"""Images in WebDataset tar shards: written, indexed, and read in any order."""
