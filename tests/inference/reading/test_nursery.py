"""A process makes others, of which each ends for itself."""

import os
import time

import pytest

from inference.reading.nursery import Nursery

ECHO = "tests.helpers.strange_readers:echo"


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery(ECHO)
    yield nursery
    nursery.close()


def test_children_answer_each_for_itself(nursery):
    first, second = nursery.child(), nursery.child()
    for child, word in ((first, "a"), (second, "b")):
        child.connection.send(word)
    (said, number), (other, another) = first.connection.recv(), second.connection.recv()
    assert (said, other) == ("a", "b")
    assert len({number, another, os.getpid()}) == 3
    first.end(), second.end()


def test_a_child_that_is_ended_is_gone(nursery):
    child = nursery.child()
    child.connection.send("a")
    number = child.connection.recv()[1]
    assert child.end() in ("SIGKILL", "")  # killed, or at its end as soon as nobody listens any more
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_how_a_child_ended_is_told(nursery):
    child = nursery.child()
    child.connection.send("crash")
    with pytest.raises(EOFError):
        child.connection.recv()
    assert child.end() == "SIGSEGV"


def test_modules_are_loaded_for_all_later_children(nursery):
    """In the process that makes them, once."""
    child = nursery.child()
    child.connection.send("loaded antigravity_of_tests")
    assert child.connection.recv()[0] is False
    child.end()
    for loaded in (["tests.helpers.pictures"], []):
        child = nursery.child(loaded)
        child.connection.send("loaded tests.helpers.pictures")
        assert child.connection.recv()[0] is True
        child.end()


def test_without_the_nursery_its_children_end():
    nursery = Nursery(ECHO)
    child = nursery.child()
    child.connection.send("a")
    number = child.connection.recv()[1]
    nursery.close()
    assert child.end() == ""
    with pytest.raises(OSError):
        nursery.child()
    assert_ends(number)


def test_a_nursery_that_nobody_refers_to_ends():
    nursery = Nursery(ECHO)
    child = nursery.child()
    child.connection.send("a")
    number = child.connection.recv()[1]
    connection = child.connection  # the child would end with it
    del nursery, child
    assert_ends(number)
    connection.close()


def assert_ends(number):
    """Within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child still runs")


def test_peak_memory_is_that_of_the_largest_child(nursery):
    child = nursery.child()
    child.connection.send("take")
    child.connection.recv()
    child.end()
    assert 2**27 < nursery.peak_memory() < 2**33
