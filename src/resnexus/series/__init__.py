"""The published page as data: its figures, which of them are wrong, and the checkpoints that it offers."""
