"""Text that a spreadsheet would compute."""

import pytest

from inference.outputs.spreadsheet import spreadsheet_safe


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_become_text(text):
    assert spreadsheet_safe(text) == "'" + text


@pytest.mark.parametrize("value", ["a=1", "", "cells.tif", -1, -0.5, None])
def test_everything_else_stays_as_it_is(value):
    assert spreadsheet_safe(value) is value
