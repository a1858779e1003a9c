"""Options become a request."""

from dataclasses import fields
from pathlib import Path

import pytest

from inference.command_line import parse_arguments, parse_width, request_of
from inference.running.batch import Request
from inference.running.lengths import Length
from models.classes import SHIPPED_WEIGHTS


def request(*options):
    return request_of(parse_arguments(["-i", "in", "-o", "out", *options]))


def test_the_defaults_are_the_requests():
    assert request() == Request(["in"], Path("out"), SHIPPED_WEIGHTS)
    assert (SHIPPED_WEIGHTS / "router.safetensors").is_file()


def test_every_option_arrives():
    found = request(
        "--weights", "w", "--device", "cpu", "--diameter", "9.5", "--overlay", "--report", "r.csv", "--resume", "-q"
    )
    assert found == Request(
        ["in"],
        Path("out"),
        Path("w"),
        "cpu",
        diameter=Length(9.5),
        products=found.products,
        report=Path("r.csv"),
        resume=True,
        quiet=True,
    )
    assert "overlay" in str(found.products)


@pytest.mark.parametrize(
    "text, class_", [("auto", None), ("0", 0), ("small colour", 3), ("large-colour", 2), ("Gray", 1)]
)
def test_a_route_is_a_number_or_a_name(text, class_):
    assert request("--route", text).class_ == class_


def test_a_wrong_route_is_told_the_right_ones(capsys):
    with pytest.raises(SystemExit) as stopped:
        request("--route", "7")
    assert stopped.value.code == 2
    assert "'7' is no class of images; give one of 0 (binary)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "101", "1e9", "nan", "inf", "1.5", "wide"])
def test_outlines_of_an_impossible_width(text):
    with pytest.raises(ValueError, match=f"{text}: expected a number of pixels from 1 to 100"):
        parse_width(text)
    assert parse_width("3") == 3


def test_options_are_named_as_the_fields_of_a_request():
    """But for those that several options are put together to, and those that no option changes."""
    named = vars(parse_arguments(["-i", "in", "-o", "out"])).keys()
    others = {"reading", "products", "style", "read_limits", "limits", "seconds_between_lines"}
    assert {field.name for field in fields(Request)} - named == others
