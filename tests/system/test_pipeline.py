"""The real `dvc` on the real pipeline, in temporary clones, with few rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.model import bundle
from fraudloop.model.scorer import Scorer
from tests.system.projects import BIN, OUTPUT, RAW, ROOT, SMALL, Project, copy_of_this


def test_a_second_run_and_a_second_clone_write_the_same_bytes(
    made: Project, tmp_path: Path
) -> None:
    first, lock = made.outputs(), made.read("dvc.lock")
    colleague = made.clone(tmp_path / "colleague")
    # Another hash seed, another number of threads asked for: neither may reach an output.
    colleague.dvc(
        "repro",
        environment={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "2"},
    )
    assert colleague.outputs() == first
    assert colleague.read("dvc.lock") == lock
    colleague.dvc("repro", "-f", environment={"PYTHONHASHSEED": "8"})
    assert colleague.outputs() == first
    assert colleague.run("git", "status", "--porcelain").stdout == ""


def test_nothing_runs_when_nothing_changed(made: Project) -> None:
    assert made.ran("repro") == []


def test_changing_one_candidate_reruns_that_candidate_alone(made: Project, tmp_path: Path) -> None:
    clone = made.clone(tmp_path / "clone")
    clone.dvc("config", "--local", "cache.dir", made.folder / ".dvc/cache")
    clone.dvc("checkout")
    ran = clone.ran("exp", "run", "-S", "candidates.smote.boosted_trees.estimator.max_depth=3")
    assert ran == ["train@smote-boosted_trees", "evaluate", "package"]
    shown = clone.dvc("exp", "show", "--csv").stdout
    assert "candidates.smote.boosted_trees.estimator.max_depth" in shown


def test_every_path_gives_the_same_score(made: Project) -> None:
    folder = made.folder / OUTPUT
    scorer = Scorer(bundle.load(folder))
    card = scorer.bundle.manifest.card
    test = pd.read_parquet(made.folder / "ml/input/data/prepared/temporal/test.parquet")
    columns = {name: test[name].to_numpy() for name in card.columns}
    pipeline = scorer.bundle.pipeline(sha256=scorer.bundle.sha256)
    of_frame = pipeline.predict_proba(test[list(card.columns)])[:, 1]
    of_array = pipeline.predict_proba(test[list(card.columns)].to_numpy())[:, 1]
    np.testing.assert_array_equal(of_frame, of_array)
    np.testing.assert_allclose(scorer.scores(columns), of_frame, rtol=0, atol=1e-6)

    few = test.head(7)
    payload = {str(row): values for row, values in few[list(card.columns)].iterrows()}
    path = made.folder / "ml/few.json"
    path.write_text(json.dumps({key: dict(values) for key, values in payload.items()}))
    answered = json.loads(made.run(BIN / "fraudloop", "predict", path).stdout)
    path.unlink()
    np.testing.assert_allclose(answered["scores"], of_frame[:7], rtol=0, atol=1e-6)
    assert answered["ids"] == list(payload)
    assert answered["model_version"] == scorer.bundle.version


def test_metrics_hold_what_is_promised_and_are_plausible(made: Project) -> None:
    metrics = json.loads(made.read(OUTPUT / "metrics.json"))
    test = metrics["test"]
    for name in ("average_precision", "roc_auc", "precision", "recall", "f1"):
        span = test["interval"][name]
        assert 0 <= span["low"] <= test[name] <= span["high"] <= 1
        assert metrics["oracle"][name] == 1
        assert metrics["floor"]["always_legitimate"][name] <= 0.5
    assert metrics["floor"]["random"]["average_precision"] < 0.1 < test["average_precision"]
    assert set(metrics["candidates"]) == {
        f"{sampler}-{estimator}"
        for sampler in SMALL["samplers"]
        for estimator in SMALL["estimators"]
    }
    best = max(
        metrics["candidates"],
        key=lambda name: metrics["candidates"][name]["validation"]["average_precision"],
    )
    assert metrics["champion"] == best
    assert metrics["dataset"]["synthetic"] is True
    assert json.loads(made.read(OUTPUT / "manifest.json"))["threshold"] == test["threshold"]


def test_dvc_shows_metrics_plots_and_differences(made: Project) -> None:
    shown = json.loads(made.dvc("metrics", "show", "--json").stdout)
    values = shown[""]["data"][str(OUTPUT / "metrics.json")]["data"]
    assert values == json.loads(made.read(OUTPUT / "metrics.json"))
    assert made.dvc("metrics", "diff", "HEAD~1").returncode == 0
    made.dvc("plots", "show", "-o", "dvc_plots")
    page = made.read("dvc_plots/index.html").decode()
    for title in ("Precision and recall", "Receiver", "Decisions on test", "average precision"):
        assert title in page
    assert "<DVC_METRIC" not in page
    assert made.dvc("repro", "--dry", "--allow-missing").returncode == 0


def test_an_archive_without_git_runs(made: Project, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    made.run("git", "archive", "-o", archive, "HEAD")
    unpacked = Project(tmp_path / "unpacked")
    unpacked.folder.mkdir()
    unpacked.run("tar", "-xf", archive)
    unpacked.dvc("config", "--local", "core.no_scm", "true")
    # Whatever git there may be above the folder is not this project's.
    unpacked.dvc("repro", environment={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert unpacked.outputs() == made.outputs()
    assert unpacked.read("dvc.lock") == made.read("dvc.lock")


def test_a_quoted_file_like_the_published_one_gives_the_same_scores(
    made: Project, tmp_path: Path
) -> None:
    quoted = tmp_path / "quoted.csv"
    table = pd.read_csv(made.folder / RAW, dtype={"Class": str})
    header = ",".join(f'"{name}"' for name in table.columns)
    rows = table.assign(Class=[f'"{value}"' for value in table["Class"]])
    body = rows.to_csv(index=False, header=False, quoting=3)
    quoted.write_text(f"{header}\n{body}", encoding="utf-8")

    clone = made.clone(tmp_path / "clone")
    overrides = ["data.source=file", f"data.file={quoted}", "split.use=stratified"]
    overrides += ["samplers=[none]", "estimators=[logistic_regression]"]
    clone.dvc("exp", "run", *(part for each in overrides for part in ("-S", each)))
    report = json.loads(clone.read(OUTPUT / "data-report.json"))
    ours = json.loads(made.read(OUTPUT / "data-report.json"))
    assert report["synthetic"] is False
    assert report["rows"] == ours["rows"]
    assert report["splits"] == ours["splits"]
    assert json.loads(clone.read(OUTPUT / "metrics.json"))["dataset"]["split"] == "stratified"


@pytest.fixture
def published(tmp_path: Path) -> tuple[Project, bytes]:
    """A project whose card knows a small file as the published one, and that file."""
    card = cards.load(ROOT / "ml/datasets/creditcard.yaml")
    table = synthetic.draw(card, seed=5, rows=5000)
    content = pd.DataFrame(dict(table)).to_csv(index=False).encode()
    project = copy_of_this(tmp_path / "project", {**SMALL, "data": {"source": "kaggle"}})
    expected = {
        "bytes": len(content),
        "md5": hashlib.md5(content).hexdigest(),
        "rows": 5000,
        "frauds": int(table["Class"].sum()),
    }
    project.change("ml/datasets/creditcard.yaml", {"expected": expected})
    project.commit("a card that knows this file")
    return project, content


def place(project: Project, content: bytes) -> None:
    """Put a raw file there by hand."""
    (project.folder / RAW).parent.mkdir(parents=True)
    (project.folder / RAW).write_bytes(content)


def test_a_right_file_placed_by_hand_is_kept_and_needs_no_credentials(
    published: tuple[Project, bytes],
) -> None:
    project, content = published
    place(project, content)
    assert project.ran("repro", "get-data") == ["get-data"]
    assert project.read(RAW) == content


def test_a_missing_source_is_one_sentence_and_leaves_what_is_there(
    published: tuple[Project, bytes],
) -> None:
    project, content = published
    place(project, content[:-100])
    failed = project.dvc("repro", "get-data", check=False)
    assert failed.returncode != 0
    refusals = [line for line in failed.stderr.splitlines() if line.startswith("fraudloop: ")]
    assert refusals == [
        "fraudloop: no Kaggle credentials: set KAGGLE_API_TOKEN, or run with data.source=synthetic"
    ]
    assert "Traceback" not in failed.stderr
    assert project.read(RAW) == content[:-100]
    assert [path.name for path in (project.folder / RAW).parent.iterdir()] == [RAW.name]


def test_the_published_file_is_not_overwritten_by_synthetic_data(
    published: tuple[Project, bytes],
) -> None:
    project, content = published
    place(project, content)
    project.change("params.yaml", {"data": {"source": "synthetic"}})
    failed = project.dvc("repro", "get-data", check=False)
    assert failed.returncode != 0
    assert "is not overwritten" in failed.stderr
    assert project.read(RAW) == content


def test_the_committed_lock_is_that_of_the_committed_files(tmp_path: Path) -> None:
    project = copy_of_this(tmp_path / "project", {}, keep_lock=True)
    # Without data or cache, a stage runs only if its code, its card or its parameters are not
    # those of the lock, or if metrics.json is not.
    assert project.ran("repro", "--dry", "--allow-missing") == []
    project.change("params.yaml", {"seed": 43})
    told = project.dvc("repro", "--dry", "--allow-missing", check=False).stdout
    assert "Running stage 'get-data'" in told
