"""Files of labels in other programs' formats, and the labels that they hold."""

import json

import numpy as np

SHAPE = 6, 8  # of the labelled image


def filled(*boxes):
    """Labels with boxes (top, bottom, left, right), numbered from 1."""
    labels = np.zeros(SHAPE, int)
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels.tolist()


def save(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
