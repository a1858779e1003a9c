"""Items made in another thread: order, how far ahead, errors, an early end."""

import threading

import pytest

from inference.ahead import ahead


def test_order():
    assert list(ahead(iter(range(100)), 3)) == list(range(100))
    assert list(ahead(iter(()), 2)) == []


@pytest.mark.parametrize("most", [1, 4])
def test_it_begins_at_once_and_is_so_far_ahead(most):
    made, enough = [], threading.Event()

    def make():
        for i in range(20):
            made.append(i)
            if len(made) == most:
                enough.set()
            yield i

    items = ahead(make(), most)
    assert enough.wait(10)
    for i in range(5):
        assert next(items) == i
        assert len(made) <= i + 1 + most


def test_errors_come_where_their_item_would():
    def make():
        yield 1
        raise ValueError("broken")

    items = ahead(make(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


def test_closed_early_nothing_more_is_begun():
    made, go_on = [], threading.Event()

    def make():
        for i in range(100):
            if i:
                go_on.wait(10)
            made.append(i)
            yield i

    others = set(threading.enumerate())
    items = ahead(make(), 1)
    (own,) = set(threading.enumerate()) - others
    next(items)
    items.close()
    go_on.set()
    own.join(10)
    assert len(made) <= 2
