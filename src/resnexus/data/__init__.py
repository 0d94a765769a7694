"""From image files to batches: decoding, the evaluation transform, the training transform, data sets."""
