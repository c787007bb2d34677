"""The command line: help for everything, one sentence and an exit code for every refusal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import fraudloop
from fraudloop import cli, errors, evaluation, stages
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from tests.fitted import ROOT, bundle_of, card, start_python, told

COMMANDS = (
    *("get-data", "preprocess", "train", "evaluate", "package", "tune", "use", "train-spark"),
    *("predict", "serve", "ledger", "users", "batch", "payload", "registry", "stream"),
    *("drift", "drift-reports", "outcomes", "insert"),
    *("retrain", "watch", "jobs"),
)
USERS = ("add", "list", "remove")
LEDGER = ("migrate", "verdict", "import-verdicts", "export-validated")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's root with nothing but its parameters and its card; the process stands in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "ml" / "datasets", tmp_path / "ml" / "datasets")
    return tmp_path


def change(project: Path, **sections: dict[str, Any]) -> None:
    path = project / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, changes in sections.items():
        content[section] |= changes
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run `fraudloop` with these arguments, here."""
    monkeypatch.setattr(sys, "argv", ["fraudloop", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def refusal(captured: tuple[str, str]) -> str:
    """What was said, if it is one sentence on stderr and nothing on stdout."""
    out, err = captured
    assert out == ""
    assert err.startswith("fraudloop: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err.removeprefix("fraudloop: ").rstrip("\n")


def test_the_commands_are_those_of_the_contract_as_far_as_they_are_built() -> None:
    assert set(get_command(cli.app).commands) == set(COMMANDS)  # type: ignore[attr-defined]  # typer says less of it than it is


@pytest.mark.parametrize(
    "command",
    [
        *((), *((name,) for name in COMMANDS)),
        *(("users", name) for name in USERS),
        *(("ledger", name) for name in LEDGER),
    ],
)
def test_every_command_has_help(
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(monkeypatch, *command, "--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert " ".join(["fraudloop", *command]) in out
    listed = {(): COMMANDS, ("users",): USERS, ("ledger",): LEDGER}.get(command, command)
    assert all(name in out for name in listed)


def test_the_version_is_the_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fraudloop {fraudloop.__version__}\n"


def test_without_a_command_it_helps_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch) == 2
    out, err = capsys.readouterr()
    assert "preprocess" in out + err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["train"], "Missing option '--sampler'"),
        (["train", "--sampler", "none", "--colour"], "No such option: --colour"),
        (["predict"], "Missing argument 'transactions'"),
        (["predict", "a.json", "b.json"], r"unexpected extra argument.* \(b\.json\)"),
        (["predict", "a.json", "--bundle"], "'--bundle' requires an argument"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(monkeypatch, *arguments) == 2
    assert re.search(f"{named}.*: see `fraudloop --help`$", refusal(capsys.readouterr()))


def every_error() -> list[tuple[type[errors.FraudloopError], int]]:
    kinds: list[type[errors.FraudloopError]] = [
        errors.FraudloopError,
        *(
            kind
            for kind in errors.FraudloopError.__subclasses__()
            if kind.__module__ == errors.__name__
        ),
    ]
    usage = ("ParamsError", "SettingsError", "CardError")
    return [(kind, 2 if kind.__name__ in usage else 1) for kind in kinds]


@pytest.mark.parametrize(("kind", "code"), every_error())
@pytest.mark.usefixtures("project")
def test_every_kind_of_error_has_its_exit_code(
    kind: type[errors.FraudloopError],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(_: Any) -> None:
        raise kind("what, where, what to do")

    monkeypatch.setattr(stages, "preprocess", refuse)
    assert exit_code(monkeypatch, "preprocess") == code
    assert refusal(capsys.readouterr()) == "what, where, what to do"


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["preprocess"], 1, r"ml/input/data/training/creditcard\.csv"),
        (["train", "--sampler", "none", "--estimator", "random_forest"], 1, "run `fraudloop prep"),
        (["evaluate"], 1, "run `fraudloop preprocess`"),
        (["package"], 1, "run the stage before"),
        (["predict", "none.json"], 1, "no manifest.json in ml/output/credit-card-fraud"),
        (["predict", "none.json", "--bundle", "none"], 1, "no manifest.json in none"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_missing_is_one_sentence(
    arguments: list[str],
    code: int,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(monkeypatch, *arguments) == code
    assert re.search(named, refusal(capsys.readouterr()))


@pytest.mark.parametrize("command", ["get-data", "preprocess", "evaluate", "package"])
def test_outside_a_project_it_says_where_to_be(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, command) == 2
    assert "no parameters at params.yaml" in refusal(capsys.readouterr())


def test_a_missing_card_is_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / "ml" / "datasets")
    assert exit_code(monkeypatch, "preprocess") == 2
    assert "no dataset card at ml/datasets/creditcard.yaml" in refusal(capsys.readouterr())


def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, data={"rows": 6000}, split={"use": "stratified"})
    (project / "ml/output").write_text("a file where a folder should be", encoding="utf-8")
    assert exit_code(monkeypatch, "get-data") == 0
    capsys.readouterr()
    assert exit_code(monkeypatch, "preprocess") == 1
    assert "ml/output" in refusal(capsys.readouterr())


@pytest.mark.usefixtures("project")
def test_a_fault_of_our_own_is_not_dressed_up_as_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(stages, "preprocess", fail)
    monkeypatch.setattr(sys, "argv", ["fraudloop", "preprocess"])
    with pytest.raises(AssertionError, match="a bug"):
        cli.main()


def test_a_stage_tells_on_stderr_how_it_went(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, data={"rows": 6000}, split={"use": "stratified"})
    for stage, said in (
        ("get-data", r"creditcard\.csv: [\d,]+ bytes, md5"),
        ("preprocess", "6,000 rows"),
    ):
        assert exit_code(monkeypatch, stage) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert re.search(said, err)


@pytest.mark.usefixtures("project")
def test_interrupting_says_that_nothing_was_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    assert exit_code(monkeypatch, "evaluate") == 130
    assert refusal(capsys.readouterr()) == "interrupted; what stood before still stands"


def test_ctrl_c_ends_a_waiting_command_with_130(tmp_path: Path) -> None:
    pipe = tmp_path / "manifest.json"
    os.mkfifo(pipe)
    # Whoever started the tests may have had them ignore Ctrl-C.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv[0] = 'fraudloop'; from fraudloop.cli import main; main()"
    )
    process = start_python(code, "predict", "payload.json", "--bundle", tmp_path)
    writer = None
    while writer is None and process.poll() is None:
        with suppress(OSError):  # until the command has opened it, and waits for its content
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert refusal(said) == "interrupted; what stood before still stands"
    assert writer is not None
    os.close(writer)


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['fraudloop', '--help']\n"
        "from fraudloop.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'imblearn', 'xgboost', 'onnxruntime', 'pyarrow',\n"
        "         'matplotlib', 'pydantic', 'scipy', 'joblib', 'kaggle', 'yaml'}\n"
        "print('loaded:', sorted(heavy & loaded))"
    )
    assert told(start_python(code)).splitlines()[-1] == "loaded: []"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    bundles.save(folder, bundle_of("boosted_trees"))
    return folder


PAYLOAD = ROOT / "ml" / "input" / "api" / "payload.json"


def test_predict_answers_for_the_payload(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "predict", PAYLOAD, "--bundle", saved) == 0
    out, err = capsys.readouterr()
    made, payload = json.loads(out), json.loads(PAYLOAD.read_bytes())
    assert err == ""
    assert made["ids"] == list(payload)
    assert made["model_version"] == bundle_of("boosted_trees").version
    assert made["threshold"] == 0.5
    columns: dict[str, Any] = {
        name: [fields[name] for fields in payload.values()] for name in card().columns
    }
    assert made["scores"] == Scorer(bundle_of("boosted_trees")).scores(columns).tolist()
    assert made["predictions"] == [int(score >= 0.5) for score in made["scores"]]
    assert "synthetic data" in made["message"]


def test_a_server_scores_with_the_runtime_packages_alone(saved: Path) -> None:
    code = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PIPELINE_ONLY:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)

PIPELINE_ONLY = set(sys.argv.pop(1).split())
sys.meta_path.insert(0, Absent())
from fraudloop import cli
from fraudloop.model import bundle, scorer
cli.main()
"""
    only = "dvc imblearn jinja2 joblib kaggle kagglesdk matplotlib mlflow onnx optuna pandas"
    only += " pandera PIL pyarrow pytest requests s3fs scipy sklearn"
    process = start_python(code, only, "predict", PAYLOAD, "--bundle", saved)
    assert json.loads(told(process))["predictions"]


def test_predict_takes_the_bundle_that_was_asked_for_and_no_other(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str | Path] = ["predict", PAYLOAD, "--bundle", saved, "--sha256"]
    assert exit_code(monkeypatch, *asked, bundle_of("boosted_trees").sha256) == 0
    capsys.readouterr()
    assert exit_code(monkeypatch, *asked, bundle_of("random_forest").sha256) == 1
    assert "is not the file that was vouched for" in refusal(capsys.readouterr())


def test_predict_reads_the_pipelines_own_bundle_if_none_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles.save(project / "ml/output/credit-card-fraud", bundle_of("random_forest"))
    assert exit_code(monkeypatch, "predict", PAYLOAD) == 0
    version = json.loads(capsys.readouterr().out)["model_version"]
    assert version == bundle_of("random_forest").version


def test_predict_refuses_what_does_not_fit_the_card(
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    payload = json.loads(PAYLOAD.read_bytes())
    first = next(iter(payload))
    payload[first]["Surprise"] = 1
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    assert exit_code(monkeypatch, "predict", path, "--bundle", saved) == 1
    assert refusal(capsys.readouterr()) == (
        f"transaction {first!r} has an unknown field 'Surprise': remove it"
    )
