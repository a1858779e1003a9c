"""What a file may do to its decoder, done on purpose in the place of `inference.reading.reader_process.work`."""

import json
import os
import signal
import sys
import time

import numpy as np


def crash(connection):
    connection.recv()
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(connection):
    connection.recv()
    time.sleep(1000)


def stall(connection):
    """Opens well, and sends half of its pixels."""
    connection.recv()
    view = {
        "pixels": [[4, 4], "|u1"],
        "axes": "YX",
        "warnings": [],
        "channels": [],
        "pixel_size": None,
        "format": "x",
    }
    image = {"suffix": "", "name": "", "stack": [], "stack_axes": "", "views": [view]}
    connection.send_bytes(json.dumps({"images": [image], "digest": "0", "loaded": [], "complaints": []}).encode())
    connection.recv()
    connection.send_bytes(json.dumps({"shape": [4, 4], "dtype": "|u1"}).encode())
    connection.send_bytes(np.zeros(8, np.uint8))
    time.sleep(1000)


def babble(connection):
    connection.recv()
    connection.send_bytes(b"\x80\x04 no JSON")


def exhaust(connection):
    connection.recv()
    connection.send_bytes(json.dumps({"memory": 5 * 2**20}).encode())


def echo(connection):
    """Says what it heard and its number, or does what it is told."""
    while True:
        said = connection.recv()
        word, _, name = said.partition(" ")
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "take":
            np.ones(2**27, np.uint8)
        connection.send((name in sys.modules if word == "loaded" else said, os.getpid()))
