"""Pictures of an explorer as a page stores them: for each preset one whole, for every other state what differs from it.

Lossless WebP, so that a page shows the very pixels that a notebook does (docs/decisions/0110 has the sizes).
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from modeseek.bandit.explore.pages.catalogue import Shown
from modeseek.bandit.explore.toolkit.explorer import Explorer

MOST_FRAMES = 17
"""Of a preset, before a page that is too large is thinned."""
FASTER = 2
"""WebP's `method`: 4 and 6 make the same bytes of such pictures in twice the time."""


@dataclass(frozen=True)
class Frame:
    """One state.

    Attributes:
        at: where on the axis, in words; empty where there is none.
        caption: what the picture shows, in numbers.
        state: that opens it in a notebook.
        patch: WebP of what differs from the preset's picture, transparent elsewhere; empty if nothing does.
        place: of the patch, pixels from left and top.
    """

    at: str
    caption: str
    state: str
    patch: bytes
    place: tuple[int, int]


@dataclass(frozen=True)
class Film:
    """One preset.

    Attributes:
        name: of the preset.
        shows: what there is to see.
        size: of its pictures, pixels.
        picture: WebP of its first frame.
        frames: in the order of the axis.
    """

    name: str
    shows: str
    size: tuple[int, int]
    picture: bytes
    frames: tuple[Frame, ...]

    def thinned(self) -> "Film":
        """With every second frame, and the last."""
        return replace(self, frames=(*self.frames[:-1:2], self.frames[-1]))


def places(low: int, high: int, *, even: bool, most: int = MOST_FRAMES) -> list[int]:
    """Whole numbers from `low` to `high`, both among them, at most so many: equally far apart, or in equal ratios."""
    if high - low < most:
        return list(range(low, high + 1))
    share = np.linspace(0.0, 1.0, most)
    along = share if even else np.expm1(share * np.log1p(high - low)) / (high - low)
    found = np.round(low + along * (high - low)).astype(int)
    return [int(each) for each in np.unique(found)]


def films(shown: Shown) -> Iterator[Film]:
    """All presets of an explorer, one after the other."""
    explorer = shown.kind()  # one for all: a new figure for each costs a second
    for name, shows in shown.kind.presets().items():
        explorer.set(preset=name, **dict(shown.values))
        control = next((each for each in explorer.model.controls if each.name == shown.axis), None)
        base: np.ndarray | None = None
        frames = []
        for stop in [None] if control is None else _stops(shown, explorer):
            if stop is not None:
                explorer.set(**{shown.axis: stop})
            pixels = explorer.pixels()
            base = pixels if base is None else base
            at = "" if control is None else f"{control.label} {stop}"
            frames.append(Frame(at, explorer.caption(), explorer.to_state(), *difference(pixels, base)))
        assert base is not None
        yield Film(name, shows.removeprefix(f"{name}: "), base.shape[1::-1], webp(base), tuple(frames))


def _stops(shown: Shown, explorer: Explorer) -> Sequence[int]:
    """Where on the axis there are frames."""
    if shown.stops is not None:
        return shown.stops()
    low, high = explorer.model.limits(shown.axis)
    return places(int(low), int(high), even=shown.even)


def difference(pixels: np.ndarray, base: np.ndarray) -> tuple[bytes, tuple[int, int]]:
    """WebP of the smallest rectangle that holds every pixel that differs, the others transparent, and where it lies."""
    differs = (pixels != base).any(axis=-1)
    if not differs.any():
        return b"", (0, 0)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    there = differs[box]
    patch = np.zeros((*there.shape, 4), np.uint8)
    patch[there, :3] = pixels[box][there]
    patch[there, 3] = 255
    return webp(patch), (int(columns[0]), int(rows[0]))


def webp(pixels: np.ndarray) -> bytes:
    """The very pixels, RGB or RGBA."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, method=FASTER)
    return stream.getvalue()
