"""The rules of the house, held against the code itself."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from fraudloop import cli
from fraudloop.params import Params
from tests.fitted import PARAMS, ROOT, card, start_python, told

SOURCE = ROOT / "src" / "fraudloop"
MODULES = sorted(SOURCE.rglob("*.py"))
OWN = sorted(
    path
    for folder in ("src", "tests", "bench", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)

# From the top floor down. Whoever adds a room says here where it is.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("stages", "decisions", "evaluation", "tuning", "projects"),
    ("serving", "batch", "streaming"),
    ("lifecycle",),
    ("monitoring",),
    ("artifacts", "tracking"),
    ("training",),
    ("model",),
    ("dataset", "ledger"),
    ("params", "users"),
    ("documents",),
    ("settings", "errors", "files", "progress"),
)
HEIGHT = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(path: Path) -> str:
    """`training` of src/fraudloop/training/fit.py, `cli` of src/fraudloop/cli.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> Iterator[str]:
    """The rooms that a module imports from, wherever in it the import stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)} imports relatively"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            package, _, rest = module.partition(".")
            if package == "fraudloop" and not rest.startswith("__"):
                yield rest.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_room_imports_only_from_its_own_floor_and_those_below(path: Path) -> None:
    if path == SOURCE / "__init__.py":
        assert set(rooms_imported(path)) == set()
        return
    assert room(path) in HEIGHT, f"say in FLOORS where {room(path)} is"
    above = {other for other in rooms_imported(path) if HEIGHT[other] > HEIGHT[room(path)]}
    assert above == set()


def test_every_room_that_is_named_is_there() -> None:
    assert {room(path) for path in MODULES} == {*HEIGHT, "__init__"}


def test_the_default_cards_columns_are_known_to_no_code() -> None:
    names = {*card().columns, card().label.column}
    for path in MODULES:
        assert re.findall(r"\bV\d+\b", path.read_text(encoding="utf-8")) == [], named(path)
        texts = {
            node.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert texts & names == set(), named(path)


def test_the_number_of_its_features_is_known_to_no_code() -> None:
    assert len(card().feature_names) == 30
    for path in MODULES:
        numbers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)]
        found = [node.lineno for node in numbers if type(node.value) is int and node.value == 30]
        assert found == [], named(path)


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != "settings"], ids=named)
def test_only_settings_reads_the_environment(path: Path) -> None:
    words = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    used = {
        name
        for node in ast.walk(tree(path))
        for name in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.id]
            if isinstance(node, ast.Name)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert used & words == set()


def test_importing_every_module_does_no_work() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
    ]
    code = (
        "import json, logging, os, sys, threading\n"
        "from importlib import import_module\n"
        "before = dict(os.environ), os.getcwd(), logging.root.level\n"
        "for name in sys.argv[1:]: import_module(name)\n"
        "print(json.dumps({\n"
        "    'unchanged': before == (dict(os.environ), os.getcwd(), logging.root.level),\n"
        "    'handlers': len(logging.root.handlers),\n"
        "    'threads': threading.active_count(),\n"
        "    'loaded': sorted({'kaggle', 'matplotlib', 'matplotlib.pyplot', 'xgboost',\n"
        "        'onnxruntime', 'onnx', 's3fs', 'boto3', 'imblearn'} & set(sys.modules))}))"
    )
    # scikit-learn sets these two for everybody, where nobody has.
    known = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}
    out = told(start_python(code, *modules, **known))
    assert json.loads(out) == {"unchanged": True, "handlers": 0, "threads": 1, "loaded": []}


@pytest.mark.parametrize("path", OWN, ids=named)
def test_no_file_is_above_400_lines_and_no_function_above_50(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > 50
    }
    assert long == {}


def test_nothing_is_left_out_of_coverage_or_of_the_tests() -> None:
    excuse = "pragma" + ": no cover"
    assert [named(path) for path in OWN if excuse in path.read_text(encoding="utf-8")] == []


DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
GIVEN: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, Any] = DVC["stages"]
# What watches a model that stands: no stage makes anything of it, commands read it each time.
WATCHING = {"drift": "monitoring", "outcomes": "monitoring", "retraining": "lifecycle"}


def leaves(value: Any, at: str = "") -> Iterator[str]:
    """The dotted path of every parameter."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, f"{at}.{key}" if at else key)
    else:
        yield at


def at(path: str) -> Any:
    found: Any = GIVEN
    for key in path.split("."):
        found = found[key]
    return found


def unfolded(text: str, stage: str) -> list[str]:
    """A text of dvc.yaml with its ${…} filled in, once for each item of the stage's matrix."""
    matrix = STAGES[stage].get("matrix", {})
    options = [at(values.strip("${}")) for values in matrix.values()]
    made = []
    for items in product(*options):
        item = dict(zip(matrix, items, strict=True))
        made.append(
            re.sub(
                r"\$\{([\w.]+)\}",
                lambda hit, item=item: str(  # type: ignore[misc]  # its default is its type
                    item[hit[1].removeprefix("item.")] if hit[1].startswith("item.") else at(hit[1])
                ),
                text,
            )
        )
    return made


def outs_of(stage: str) -> set[str]:
    entries = [entry for kind in ("outs", "metrics") for entry in STAGES[stage].get(kind, [])]
    texts = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return {path for text in texts for path in unfolded(text, stage)}


def params_of(stage: str) -> set[str]:
    return {path for text in STAGES[stage].get("params", []) for path in unfolded(text, stage)}


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_of_a_stage_is_there(stage: str) -> None:
    for path in params_of(stage):
        at(path)


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_of_a_stage_is_a_file_or_made_by_another(stage: str) -> None:
    made = {Path(out) for other in STAGES if other != stage for out in outs_of(other)}
    for text in STAGES[stage]["deps"]:
        for dep in map(Path, unfolded(text, stage)):
            comes_out = any(dep == out or out in dep.parents or dep in out.parents for out in made)
            assert comes_out or (dep.parts[0] in ("src", "ml") and (ROOT / dep).exists()), dep


def test_every_parameter_is_one_that_some_stage_depends_on_or_watching() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    followed = {path for stage in STAGES for path in params_of(stage)}
    filled_in = set(re.findall(r"\$\{([\w.]+)\}", text))
    unused = [
        leaf
        for leaf in leaves(GIVEN)
        if leaf not in filled_in
        and leaf.partition(".")[0] not in WATCHING
        and not any(leaf == path or leaf.startswith(f"{path}.") for path in followed)
    ]
    assert unused == []


@pytest.mark.parametrize("section", WATCHING)
def test_parameters_of_watching_are_read_there_and_by_no_stage(section: str) -> None:
    followed = {path.partition(".")[0] for stage in STAGES for path in params_of(stage)}
    assert section not in followed
    readers = {
        room(path)
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr == section
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    }
    assert readers == {WATCHING[section]}


def test_every_parameter_is_one_that_the_code_uses() -> None:
    used = {
        node.attr
        for path in MODULES
        if path.name != "params.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
    }
    fields = set(Params.model_fields)
    sections = [
        *(PARAMS.paths, PARAMS.data, PARAMS.split, PARAMS.operating_point, PARAMS.evaluation),
        *(PARAMS.drift, PARAMS.drift.effects, PARAMS.outcomes, PARAMS.outcomes.bounds),
        PARAMS.retraining,
    ]
    for section in sections:
        fields |= set(type(section).model_fields)
    assert fields - used == set()


def test_every_stage_runs_a_command_of_its_own_name() -> None:
    commands = set(get_command(cli.app).commands)  # type: ignore[attr-defined]  # it is a group
    assert tuple(STAGES) == ("get-data", "preprocess", "train", "evaluate", "package")
    for stage, settings in STAGES.items():
        assert settings["cmd"].split()[:2] == ["${run}", stage]
        assert stage in commands


def test_outputs_go_to_the_cards_own_folder() -> None:
    assert PARAMS.paths.output.name == card().id
    files = [path for plot in DVC["plots"] for settings in plot.values() for path in settings["y"]]
    assert {str(Path(path).parent) for path in files} == {str(PARAMS.paths.output / "plots")}
