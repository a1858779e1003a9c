"""Work done ahead of time: the next image is read, the next windows are cut, the GPU runs on, while the last ones are
decoded.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

Item = TypeVar("Item")
END = object()


def ahead(items: Iterator[Item], most: int) -> Iterator[Item]:
    """The same items in the same order, made in a thread of their own that begins at once and is at most `most` items
    ahead.

    What the making of an item raises is raised where the item is taken. When the answer is closed, no further item is
    begun.
    """
    thread = ThreadPoolExecutor(1)
    waiting = deque(thread.submit(next, items, END) for _ in range(most))

    def take() -> Iterator[Item]:
        try:
            while (item := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, items, END))
                yield cast(Item, item)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    return take()
