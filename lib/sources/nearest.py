"""Which column was probably meant by one that is not there: the nearest by meaning, by spelling and by position.

The words of one meaning are data, in `column_words.yml`; tests keep no word in two groups.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

import yaml

#: From this likeness on a column is proposed.
_LIKELY = 0.5
_WORD = re.compile(r"[A-Z]+(?![a-zß-ÿ])|[A-Z]?[a-zß-ÿ]+|\d+")


@cache
def _meanings() -> dict[str, str]:
    groups = yaml.safe_load(Path(__file__).with_name("column_words.yml").read_text(encoding="utf-8"))
    return {word: meaning for meaning, words in groups.items() for word in (meaning, *words)}


def nearest(missing: str, found: Sequence[str], ours: str = "", taken: Iterable[str] = ()) -> str:
    """Return the column that was probably meant by a missing one, empty where none is likely.

    `ours` is our name of it; `taken` are columns that mean something else, in the order of the mapping with `missing`
    among them: a column between those of its neighbours is likelier.
    """
    mapped = list(taken)
    free = [name for name in found if name not in mapped]
    scored = [(_likeness(missing, ours, name) + _by_place(missing, name, found, mapped), name) for name in free]
    best = max(scored, key=lambda item: item[0], default=(0.0, ""))
    return best[1] if best[0] >= _LIKELY else ""


def did_you_mean_column(missing: str, found: Sequence[str], ours: str = "", taken: Iterable[str] = ()) -> str:
    """Return `" Did you mean 'x'?"` for the nearest column, or an empty string."""
    name = nearest(missing, found, ours, taken)
    return f" Did you mean {name!r}?" if name else ""


def _likeness(missing: str, ours: str, name: str) -> float:
    spelling = SequenceMatcher(None, missing.casefold(), name.casefold()).ratio()
    meaning = max(_shared(missing, name), 0.9 * _shared(ours, name))
    return max(meaning, spelling if spelling >= 0.75 else 0.0) + 0.2 * min(meaning, spelling)


def _shared(one: str, other: str) -> float:
    """Return how much of the meanings of two names both have, from 0 to 1."""
    left, right = _words(one), _words(other)
    whole, both = sum(map(_weight, left)) + sum(map(_weight, right)), sum(map(_weight, left & right))
    # All that the one says, the other says too: `Total`, and `Grand Total (incl. VAT)`.
    return max(2 * both / whole, 0.6 if both >= 1 and left & right in (left, right) else 0.0) if whole else 0.0


def _weight(word: str) -> float:
    # That something is an id or a name says little of what it is.
    return 0.4 if word in ("id", "name") else 1.0


def _words(name: str) -> set[str]:
    words = [word.casefold() for word in _WORD.findall(name) if len(word) > 1]
    return {_meanings().get(word) or _meanings().get(word.removesuffix("s"), word) for word in words}


def _by_place(missing: str, name: str, found: Sequence[str], mapped: Sequence[str]) -> float:
    """Return a little more where a column stands between those that the mapping names before and after."""
    if missing not in mapped:
        return 0.0
    at, place = mapped.index(missing), found.index(name)
    before = next((found.index(m) for m in reversed(mapped[:at]) if m in found), None)
    after = next((found.index(m) for m in mapped[at + 1 :] if m in found), None)
    return 0.1 * ((before is not None and place == before + 1) + (after is not None and place == after - 1))
