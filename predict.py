#!/usr/bin/env python3
"""Find the cells in microscopy images: python predict.py -i images/ -o labels/ (-h shows all options)."""

from inference.start import start

if __name__ == "__main__":
    start()
