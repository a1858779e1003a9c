"""Labelled images: how they are listed, held in memory, and cut into the crops that networks learn from."""
