"""Readers of published data sets. Each lists images with their labels and what is missing; `training.prepare` does the
rest.
"""
