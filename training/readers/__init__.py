"""Readers of labels: of published data sets, which each list images with their labels and what is missing
(`training.prepare` does the rest), and of one's own, as other programs write them (`own_labels`).
"""
