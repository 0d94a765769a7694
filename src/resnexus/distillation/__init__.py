"""From pictures without labels to a better network: a teacher's answers, what is taken of them, and the training."""
