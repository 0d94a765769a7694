"""The claim about detection and segmentation, tested: the small siblings as backbones, on canvases of digits."""
