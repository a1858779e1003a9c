"""Cells drawn by rule, so that their labels are known. `training.synthesize` writes the images."""
