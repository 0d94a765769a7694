"""Training of networks that it knows nothing about but that they are modules."""
