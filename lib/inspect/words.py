"""What columns are called in exports: from the name of a column to what it means, by the lists in `words.yml`."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ł": "l"})
#: What stands for "number" in names of columns.
_NUMBER = {"nr", "no", "num", "number", "nummer", "numero", "numeros", "n", "nro"}
_PERCENT = {"prozent", "percent", "pct", "percentage", "pourcent", "porcentaje", "percentuale"}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: Endings that are written together with what they number: Belegnummer, Bestellnr.
_JOINED = re.compile(r"^(.{3,}?)(?:nummer|nr)$")


def tokens(name: str) -> tuple[str, ...]:
    """Return a column's name as words to compare: `Order No.`, `orderNumber` and `ORDER_NR` are alike."""
    text = _CAMEL.sub(" ", name.rsplit(".", 1)[-1].strip() if "." in name.strip(".") else name)
    text = text.replace("#", " no ").replace("№", " no ").replace("%", " percent ").casefold().translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    found: list[str] = []
    for word in re.findall(r"[a-z]+|\d+", text):
        if joined := _JOINED.match(word):
            found += [joined[1], "no"]
        else:
            found.append("no" if word in _NUMBER else "percent" if word in _PERCENT else word)
    return tuple(found)


@cache
def _roles() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return which roles a name may have, by its words."""
    lists = yaml.safe_load((Path(__file__).parent / "words.yml").read_text(encoding="utf-8"))
    found: dict[tuple[str, ...], list[str]] = {}
    for role, names in lists.items():
        for name in [role, *names]:
            for form in {tokens(str(name)), tuple("".join(tokens(str(name))).split())}:
                found.setdefault(form, []).append(role)
    return {form: tuple(dict.fromkeys(roles)) for form, roles in found.items()}


def roles_of(name: str) -> dict[str, float]:
    """Return what a column may mean, each with how sure its name makes that: 1 where the name is in the list."""
    words = tokens(name)
    if in_cents(name):
        words = words[:-1]
    known = _roles()
    found: dict[str, float] = dict.fromkeys(known.get(words, ()), 1.0)
    joined = ("".join(words),)
    for role in known.get(joined, ()):
        found.setdefault(role, 0.95)
    # `Order Date (UTC)`, `total_price_eur`: the words without what is beside them.
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            if (start, end) == (0, len(words)) or words[start:end] in (("no",), ("id",)):
                continue
            for role in known.get(words[start:end], ()):
                sure = 0.7 * (end - start) / len(words)
                found[role] = max(found.get(role, 0.0), sure)
    return found


def in_cents(name: str) -> bool:
    """Return whether a name says that its amounts are in cents: `total_cents`, `Price (cents)`."""
    words = tokens(name)
    return len(words) > 1 and words[-1] in ("cents", "cent", "centimes", "centavos", "centimos", "pence")


def words_known(names: Iterable[str]) -> int:
    """Return how many of some names are in the lists."""
    known = _roles()
    return sum(tokens(name) in known for name in names)
