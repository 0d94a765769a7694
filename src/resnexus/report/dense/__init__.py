"""The report of a comparison in segmentation or detection: records to curves, table, pictures and page."""
