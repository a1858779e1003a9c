#!/usr/bin/env python3
"""Find the cells in microscopy images: python predict.py -i images/ -o labels/ (-h shows all options)."""

from inference.command_line import start

if __name__ == "__main__":
    start()
