"""inference.reading.harmless: metadata that fail to be read become a warning."""

import pytest

from inference.reading.harmless import understood


def test_what_is_understood_is_taken():
    assert understood(lambda: (0.5, 0.5), None) == ((0.5, 0.5), ())


@pytest.mark.parametrize(
    "error, reason",
    [(KeyError("scale"), "'scale'"), (ValueError("two\nlines"), "two lines"), (TypeError(), "TypeError")],
)
def test_what_is_not_is_left_out_with_a_word(error, reason):
    def read():
        raise error

    value, (warning,) = understood(read, "nothing")
    assert value == "nothing"
    assert warning.endswith(f"left out ({reason})")


def test_an_interruption_is_no_metadata():
    def read():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        understood(read, None)
