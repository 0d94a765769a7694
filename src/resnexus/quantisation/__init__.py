"""The job of `resnexus quantize`: a network in int8, whose loss of accuracy is measured and kept within bounds."""
