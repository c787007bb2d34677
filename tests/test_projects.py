"""Another card has a folder of its own, and leaves the default's results and lock as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from fraudloop import params, projects
from fraudloop.errors import CardError, ProjectError
from tests.fitted import ROOT

CARDS = ("german-credit", "sparkov")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a folder is made from."""
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy2(ROOT / name, tmp_path / name)
    for name in ("ml/datasets", "ml/params", ".dvc/plots"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "src").mkdir()
    (tmp_path / "dvc.lock").write_text("as committed", encoding="utf-8")
    return tmp_path


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and "runs" not in path.relative_to(folder).parts
    }


@pytest.mark.parametrize("card", CARDS)
def test_a_folder_is_a_project_that_leaves_the_other_alone(project: Path, card: str) -> None:
    before = content(project)
    folder = projects.prepare(project, card)
    assert folder == project / "runs" / card
    assert content(project) == before
    own = params.load(folder / "params.yaml")
    assert own.paths.output == Path(f"ml/output/{card}")
    assert (folder / own.paths.card).is_file()
    assert (folder / "src").is_dir()
    assert (folder / ".dvc/plots/reliability.json").is_file()
    pipeline = (folder / "dvc.yaml").read_text(encoding="utf-8")
    assert "credit-card-fraud" not in pipeline
    assert '"$PWD/../../.venv/bin:' in pipeline
    assert list(yaml.safe_load(pipeline)) == list(yaml.safe_load(before["dvc.yaml"]))


def test_a_second_time_changes_nothing_and_keeps_what_was_made(project: Path) -> None:
    folder = projects.prepare(project, "sparkov")
    (folder / "dvc.lock").write_text("its own", encoding="utf-8")
    changed = (folder / "dvc.yaml").stat().st_mtime_ns
    projects.prepare(project, "sparkov")
    assert (folder / "dvc.lock").read_text(encoding="utf-8") == "its own"
    assert (folder / "dvc.yaml").stat().st_mtime_ns == changed


def test_parameters_are_the_committed_ones_wherever_they_are_changed(project: Path) -> None:
    folder = projects.prepare(project, "sparkov")
    committed = project / "ml/params/sparkov.yaml"
    text = committed.read_text(encoding="utf-8")
    committed.write_text(text.replace("seed: 42", "seed: 43"), encoding="utf-8")
    assert params.load(folder / "params.yaml").seed == 43


def test_a_card_without_parameters_is_refused_with_those_that_have_some(project: Path) -> None:
    with pytest.raises(ProjectError, match="use one of german-credit, sparkov, or write them"):
        projects.prepare(project, "titanic")
    assert not (project / "runs").exists()


def test_a_card_that_is_wrong_is_said_so_before_anything_is_made(project: Path) -> None:
    (project / "ml/datasets/sparkov.yaml").write_text("id: sparkov", encoding="utf-8")
    with pytest.raises(CardError, match="sparkov"):
        projects.prepare(project, "sparkov")
    assert not (project / "runs").exists()


def test_what_stands_where_a_link_belongs_is_not_removed(project: Path) -> None:
    (project / "runs/sparkov").mkdir(parents=True)
    (project / "runs/sparkov/params.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(ProjectError, match="not the link that it should be"):
        projects.prepare(project, "sparkov")
    assert (project / "runs/sparkov/params.yaml").read_text(encoding="utf-8") == "mine"
