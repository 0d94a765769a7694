"""Photographs with boxes or masks, in the folders that COCO and Pascal VOC made customary."""
