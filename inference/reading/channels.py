"""Which channels of an image make the picture: those that were asked for, or all of them where these are three at
most."""

from dataclasses import dataclass

from inference.reading.options import Channel
from inference.reading.picture import ImageError

MOST = 3  # channels of a picture
RGB = ("red", "green", "blue")
# Words in the names of channels that show nuclei
NUCLEAR = "dapi hoechst draq nucblue nucspot sytox to-pro topro propidium nuclei nucleus nuclear".split()


@dataclass(frozen=True)
class Choice:
    """Of each channel of the picture the entries of the file's channels that are merged into it, its name, and how to
    say it.

    names : one for each channel of the picture, or () where the file has none
    """

    groups: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    said: str
    warnings: tuple[str, ...] = ()


def choose_channels(
    file: str,
    count: int,
    names: tuple[str, ...],
    wanted: tuple[tuple[Channel, ...], ...] | None,
    colours: int = 0,
    alpha: int = 0,
) -> Choice:
    """What `wanted` means for an image, or the default.

    Parameters
    ----------
    file : its name, for messages
    count : of channels in the file, 1 for an image without an axis of channels
    names : of the channels, or ()
    wanted : as `ReadOptions.channels`
    colours : how many of the channels, the first ones, are red, green and blue: 3, or 0
    alpha : how many of the channels, the last ones, are opacity
    """
    dropped = {0: "", 1: ", alpha dropped"}.get(alpha, f", {alpha} alpha channels dropped")
    count -= alpha
    if len(names) < count:
        names = RGB + tuple(f"channel {i}" for i in range(len(RGB) + 1, count + 1)) if colours else ()
    names = names[:count]
    if wanted is not None:
        groups = tuple(tuple(dict.fromkeys(_find(file, c, count, names) for c in group)) for group in wanted)
        said = tuple("+".join(_name(entry, names) for entry in group) for group in groups)
        return Choice(groups, said, f"{', '.join(said)} of {count}{dropped}")
    everything = tuple((entry,) for entry in range(count))
    if count == 1:
        return Choice(everything, names, f"gray{dropped}")
    if colours and count > colours:
        return Choice(
            everything[:colours],
            names[:colours],
            f"RGB of {count}{dropped}",
            (f"of {count} channels the colours are used and the others left out; --channels chooses by number",),
        )
    if colours:
        return Choice(everything, names, f"RGB{dropped}")
    if count <= MOST:
        return Choice(everything, names, (", ".join(names) if all(names) and names else f"{count} channels") + dropped)
    nuclear = [entry for entry, name in enumerate(names) if any(word in name.casefold() for word in NUCLEAR)]
    listed = _listed(count, names)
    if len(nuclear) == 1:
        name = names[nuclear[0]]
        return Choice(
            (tuple(nuclear),),
            (name,),
            f"{name} of {count}{dropped}",
            (
                f"of {count} channels ({listed}) {name} is used, as the one that is named after nuclei; --channels "
                "chooses others",
            ),
        )
    raise ImageError(
        f"{file}: {count} channels ({listed}), and nothing says which of them show the cells; choose up to three with "
        "--channels, such as --channels 1 or --channels 1,3, and merge some with +, such as --channels 1+2,3"
    )


def _listed(count: int, names: tuple[str, ...]) -> str:
    return ", ".join(f"{i + 1} {names[i]}" if names and names[i] else str(i + 1) for i in range(count))


def _name(entry: int, names: tuple[str, ...]) -> str:
    return names[entry] if names and names[entry] else f"channel {entry + 1}"


def _find(file: str, channel: Channel, count: int, names: tuple[str, ...]) -> int:
    """Index of a channel by its number, or else by its name (in any case, or a part of it that no other has)."""
    if isinstance(channel, int) and 1 <= channel <= count:
        return channel - 1
    word = str(channel).casefold()
    same = [entry for entry, name in enumerate(names) if name.casefold() == word]
    if len(same) == 1:
        return same[0]
    within = [entry for entry, name in enumerate(names) if word in name.casefold()] if isinstance(channel, str) else []
    if len(within) == 1:
        return within[0]
    problem = "fits several of its channels" if len(same) + len(within) > 1 else "is none of its channels"
    raise ImageError(
        f"{file}: {channel!r} of --channels {problem} ({_listed(count, names)}); give numbers from 1 to {count}"
        + (", or names" if any(names) else ", the file has no names for them")
    )
