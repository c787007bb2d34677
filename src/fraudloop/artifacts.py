"""What the stages hand to each other: where it lies, and one sentence when it is not there."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop import files
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.params import Candidate, Params

if TYPE_CHECKING:
    import pandas as pd

DATA_REPORT = "data-report.json"
CHAMPION = "champion.json"
METRICS = "metrics.json"
EVALUATION = "evaluation.json"
MODEL_CARD = "model-card.md"
REPORT = "report.html"
PLOTS = "plots"
CANDIDATES = "candidates"
MODEL = "model.joblib"
VALIDATION_LOG_ODDS = "validation-log-odds.npy"


def write_table(params: Params, way: str, part: str, table: pd.DataFrame) -> None:
    """Write a part of one way of dividing the table."""
    with files.written_aside(_part(params, way, part)) as aside:
        table.to_parquet(aside, engine="pyarrow", compression=None, index=False)


def read_table(params: Params, part: str, way: str | None = None) -> pd.DataFrame:
    """A part of one way of dividing the table: of the one in use, if none is named."""
    import pandas as pd

    path = _part(params, way or params.split.use, part)
    if not path.is_file():
        raise TrainingError(f"no {path}: run `fraudloop preprocess`, or `dvc repro` for all stages")
    return pd.read_parquet(path, engine="pyarrow")


def read_json(path: Path) -> dict[str, Any]:
    """What an earlier stage wrote as JSON."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise TrainingError(
            f"no {path} ({error.strerror}): run the stage before, or `dvc repro` for all"
        ) from error
    return dict(content)


def candidate(params: Params, sampler: str, estimator: str) -> Candidate:
    """A candidate's parameters."""
    try:
        return params.candidates[sampler][estimator]
    except KeyError:
        raise ParamsError(
            f"params.yaml has no candidates.{sampler}.{estimator}: add it ({{}} takes the defaults)"
        ) from None


def pairs(params: Params) -> dict[str, tuple[str, str]]:
    """Sampler and estimator of every candidate in use, by its name."""
    from fraudloop.training import candidates

    return {
        candidates.name(sampler, estimator): (sampler, estimator)
        for sampler in params.samplers
        for estimator in params.estimators
    }


def write_candidate(
    params: Params, name: str, pipeline: Any, log_odds: NDArray[np.float64]
) -> Path:
    """Keep a fitted candidate, with what it gives the validation rows before calibration."""
    import joblib

    folder = params.paths.output / CANDIDATES / name
    with files.written_aside(folder / VALIDATION_LOG_ODDS) as aside, aside.open("wb") as file:
        np.save(file, log_odds)
    with files.written_aside(folder / MODEL) as aside:
        joblib.dump(pipeline, aside)
    return folder


def validation_log_odds(params: Params, name: str) -> NDArray[np.float64]:
    """What a candidate gives the validation rows, before calibration."""
    path = params.paths.output / CANDIDATES / name / VALIDATION_LOG_ODDS
    if not path.is_file():
        raise TrainingError(f"no {path}: run `dvc repro train`")
    return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)


def dumped_candidate(params: Params, name: str) -> bytes:
    """A fitted candidate as `train` dumped it."""
    path = params.paths.output / CANDIDATES / name / MODEL
    if not path.is_file():
        raise TrainingError(f"no {path}: run `dvc repro train`")
    return path.read_bytes()


def loaded(dumped: bytes) -> Any:
    """What `train` has just dumped here; a bundle from elsewhere is loaded by `bundle.py`."""
    import joblib

    return joblib.load(io.BytesIO(dumped))


def _part(params: Params, way: str, part: str) -> Path:
    return params.paths.prepared / way / f"{part}.parquet"
