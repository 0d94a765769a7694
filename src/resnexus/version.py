"""The version of Resnexus."""

__version__ = "0.1.0"
