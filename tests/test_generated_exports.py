"""Exports made by chance: each comes out right or is refused, and what is told rightly comes out right."""

import pytest

from tests.generated_exports import fault, made

#: Six that differ in most of what may be chosen; `make soak` tries a thousand.
_SEEDS = range(6)


@pytest.mark.parametrize("seed", _SEEDS)
def test_an_export_comes_out_right_or_is_refused(seed):
    assert fault(seed) == ""


def test_an_export_is_found_wrong_where_its_truth_is_another():
    export = made(1)
    assert export.choices["mapping"] == "told"
    export.orders += 1
    assert fault(1, export)
