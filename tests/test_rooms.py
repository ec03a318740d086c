"""The plan of `lib/`: its rooms are in the order of the data's way, and none knows one that comes later."""

import ast
import re

import pytest

from tests.conftest import PROJECT

#: From the first room to the last; those in one row do not know each other. docs/architecture.md says what each holds.
ORDER = [
    ["base"],
    ["entities"],
    ["config"],
    ["sources"],
    ["settings"],
    ["shop", "lake", "cells"],
    ["ingest", "warehouse"],
    ["clean"],
    ["inspect"],
    ["model"],
    ["report"],
    ["quality", "insights"],
    ["run"],
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
#: The simulated shop is known to nothing but these: the ledger of its defects is what the checks are measured against.
KNOWS_THE_SHOP = {"lib.quality.scorecard"}


def imports_of(source: str, module: str) -> set[str]:
    """Return the modules of `lib` that a module's source imports, inside functions and for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            found |= {f"{base}.{name.name}" for name in node.names}
    return {name for name in found if name.split(".")[0] == "lib" and name != "lib"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def faults(sources: dict[str, str]) -> list[str]:
    """Return what is wrong with the imports of some modules, each given by its source text."""
    found = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        names = imports_of(source, module)
        # `from lib.base import files` names a module, `from lib.base.files import PROJECT` something in one.
        known = ({m for m in (n, n.rpartition(".")[0]) if m in sources} for n in names)
        graph[module] = {max(both, key=len) for both in known if both} - {module}
        for other in sorted(graph[module]):
            mine, theirs = room_of(module), room_of(other)
            if mine != theirs and LEVEL[theirs] >= LEVEL[mine]:
                found.append(f"{module} imports {other}, which lies later on the data's way")
            if theirs == "shop" and mine != "shop" and module not in KNOWS_THE_SHOP:
                found.append(f"{module} imports {other}: the simulator is nobody's business")
    return found + circles(graph)


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that import each other in a circle, one line a circle."""
    found, done, path = [], set(), []

    def visit(module: str) -> None:
        if module in path:
            found.append("a circle: " + " -> ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        done.add(module)
        path.append(module)
        for other in sorted(graph.get(module, ())):
            visit(other)
        path.pop()

    for module in sorted(graph):
        visit(module)
    return found


def modules() -> dict[str, str]:
    paths = sorted((PROJECT / "lib").rglob("*.py"))
    names = [".".join(p.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for p in paths]
    return {n: p.read_text(encoding="utf-8") for n, p in zip(names, paths, strict=True) if n != "lib"}


def test_no_room_imports_one_that_lies_later_and_there_is_no_circle():
    assert faults(modules()) == []


def test_every_room_has_its_place_in_the_order():
    assert {room_of(module) for module in modules()} == set(LEVEL)


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("lib.lake", "from lib.clean.rules import RULES", "lies later"),
        ("lib.lake", "def f():\n    import lib.clean.rules", "lies later"),
        ("lib.lake", "if TYPE_CHECKING:\n    from lib.clean import rules", "lies later"),
        ("lib.ingest.run", "from lib.warehouse import base", "lies later"),
        ("lib.insights.sales", "from lib.shop.ledger import read", "nobody's business"),
        ("lib.base.files", "from lib.base import hashing", "a circle"),
    ],
)
def test_an_upward_import_and_a_circle_are_found(module: str, source: str, fault: str):
    others = {
        "lib.base.hashing": "from lib.base.files import PROJECT",
        "lib.base.files": "",
        "lib.clean": "",
        "lib.clean.rules": "",
        "lib.shop.ledger": "",
        "lib.warehouse": "",
        "lib.warehouse.base": "",
    }
    assert faults(others | {module: ""}) == []
    assert any(fault in found for found in faults(others | {module: source}))


def test_what_is_imported_by_its_name_alone_is_declared():
    """No statement shows these imports: kinds of sources, a source's own server, the shop's systems, dbt's adapter."""
    by_name = {module for module, source in modules().items() if "import_module" in source}
    assert by_name == {"lib.sources", "lib.sources.api", "lib.shop.opening", "lib.model.dbt"}


def test_the_page_of_the_plan_lists_the_rooms_in_this_order():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert sorted(rooms) == sorted(LEVEL)
    assert [LEVEL[room] for room in rooms] == sorted(LEVEL[room] for room in rooms)


def test_what_the_page_of_the_plan_names_is_there():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w/.]+)`", page) if "/" in name}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (PROJECT / name).exists()] == []
