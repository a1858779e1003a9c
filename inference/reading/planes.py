"""Which axes of an image are what, and which planes along z and time are wanted."""

import itertools
from collections.abc import Sequence

from inference.reading.options import AXES, EACH, ReadOptions
from inference.reading.picture import ImageError

FEW_PAGES = 4  # up to so many pages whose meaning is not told are taken for channels
FLAGS = {"Z": "--z", "T": "--t"}


def name_axes(file: str, shape: Sequence[int], axes: str, options: ReadOptions) -> tuple[str, tuple[str, ...]]:
    """The axes of an array as the options override them, or with a meaning found for pages that have none; and
    warnings.

    Parameters
    ----------
    axes : a letter for each axis; of those that are not in `AXES` the meaning is not told
    """
    override = options.axes
    long = [i for i, n in enumerate(shape) if n > 1]
    if override is not None:
        if len(override) == len(shape):
            return override, ()
        if len(override) != len(long):
            raise ImageError(
                f"{file}: --axes {override} is for {len(override)} axes, but this file's array is "
                f"{' x '.join(str(shape[i]) for i in long)}; give a letter for each of these, of {', '.join(AXES)}"
            )
        named = list("?" * len(shape))
        for i, letter in zip(long, override):
            named[i] = letter
        return "".join(named), ()
    if "Y" not in axes or "X" not in axes:
        raise ImageError(
            f"{file}: axes {axes!r} have no height and width; say with --axes what they are, such as --axes CYX, or "
            "save it as a plain 2-D image"
        )
    unknown = [i for i in long if axes[i] not in AXES]
    coloured = any(axes[i] in "CS" for i in long)
    known = {axes[i] for i in long} | ({"C"} if coloured else set())
    wanted = {"C": options.channels, "Z": options.z, "T": options.t}
    asked = [letter for letter, choice in wanted.items() if choice is not None and letter not in known]
    if len(unknown) == len(asked) == 1:
        return axes[: unknown[0]] + asked[0] + axes[unknown[0] + 1 :], ()  # whoever asks for a channel has channels
    if len(unknown) == 1 and shape[unknown[0]] <= FEW_PAGES and not coloured:
        i = unknown[0]
        return axes[:i] + "C" + axes[i + 1 :], (
            f"{shape[i]} pages whose meaning the file does not tell are taken for channels; --axes "
            f"{_squeezed(shape, axes, i, 'Z')} or {_squeezed(shape, axes, i, 'T')} says that they are z planes or "
            "time points",
        )
    if unknown:
        i = unknown[0]
        pages = " x ".join(str(shape[i]) for i in unknown)
        letters = "ZT" if coloured else "CZT"
        examples = ", ".join(f"--axes {_squeezed(shape, axes, i, letter)} ({AXES[letter]})" for letter in letters)
        raise ImageError(f"{file}: the file holds {pages} pages and does not tell what they are; say it: {examples}")
    return axes, ()


def _squeezed(shape: Sequence[int], axes: str, i: int, letter: str) -> str:
    named = list(axes[:i] + letter + axes[i + 1 :])
    free = iter([a for a in "TZC" if a not in named])
    for other, name in enumerate(named):
        if name not in AXES and shape[other] > 1:
            named[other] = next(free, name)
    return "".join(a for a, n in zip(named, shape) if n > 1 or a in "YX")


def choose_planes(
    file: str, shape: Sequence[int], axes: str, options: ReadOptions
) -> tuple[list[tuple[int, int | str]], dict[str, int]]:
    """What is taken along z and time: (axis, entry or projection) of each axis with a single answer, and the lengths of
    those along which a stack of labels is wanted, by their letters."""
    fixed: list[tuple[int, int | str]] = []
    stack: dict[str, int] = {}
    for letter, wanted in (("T", options.t), ("Z", options.z)):
        axis = axes.find(letter)
        count = shape[axis] if axis >= 0 else 1
        if wanted is None and count > 1:
            flag = FLAGS[letter]
            raise ImageError(
                f"{file}: the file holds {count} {AXES[letter]}; choose one with {flag} 1 to {flag} {count}, project "
                f"them with {flag} max or {flag} mean, or get a stack of labels with {flag} each"
            )
        if isinstance(wanted, int) and wanted > count:
            raise ImageError(
                f"{file}: there is no {FLAGS[letter]} {wanted}, the file holds {count} {AXES[letter]}; choose 1 to "
                f"{count}"
            )
        if wanted is None or axis < 0 or count == 1:
            continue
        if wanted == EACH:
            stack[letter] = count
        else:
            fixed.append((axis, wanted - 1 if isinstance(wanted, int) else wanted))
    return fixed, stack


def stack_entries(axes: str, stack: dict[str, int]) -> list[tuple[tuple[int, int | str], ...]]:
    """(axis, entry) for each plane of a stack, the last axis fastest."""
    return [
        tuple((axes.index(letter), entry) for letter, entry in zip(stack, entries))
        for entries in itertools.product(*(range(n) for n in stack.values()))
    ]


def say_planes(axes: str, shape: Sequence[int], planes: Sequence[tuple[int, int | str]]) -> list[str]:
    """The planes in words, for the line that says how a file was read."""
    words = []
    for axis, how in planes:
        name = AXES[axes[axis]]
        words.append(
            f"{name[:-1]} {how + 1} of {shape[axis]}" if isinstance(how, int) else f"{how} of {shape[axis]} {name}"
        )
    return words
