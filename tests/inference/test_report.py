"""The report."""

from inference.report import time_tolerance


def test_tolerance():
    assert time_tolerance(480, 640) == 10
    assert time_tolerance(3000, 3000) == 90
