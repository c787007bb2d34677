"""What `fraudloop tune` finds from a cold start: `make bench-tune` prints and writes bench/output/.

The candidates' settings are taken out of `params.yaml`, so that the search knows nothing of what is
committed; what it prints is then fitted, and held against the committed settings on the validation
part. On synthetic data, and on rows that chose: a claim about the search, not about fraud.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from pipeline import ROOT, project, run, target
from sklearn.metrics import average_precision_score

from fraudloop import artifacts, params
from fraudloop.dataset import card as cards
from fraudloop.params import Params
from fraudloop.training import candidates
from fraudloop.training.fit import fit, log_odds

OUTPUT = ROOT / "bench" / "output" / "tuning.json"


def main() -> None:
    """Search, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    committed = params.load(ROOT / "params.yaml")
    with project() as folder:
        path = folder / "params.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = list(artifacts.pairs(committed).values())
        content["candidates"] = _nested({pair: {} for pair in names})
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        for stage in ("get-data", "preprocess"):
            run(["fraudloop", stage], folder)
        start = time.perf_counter()
        found = _tuned(folder, minutes)
        seconds = time.perf_counter() - start
        here = params.load(path).model_copy(update={"candidates": found.candidates})
        judged = {
            candidates.name(*pair): {
                "committed": _validation(folder, committed, *pair),
                "found": _validation(folder, here, *pair),
            }
            for pair in names
        }
    best = {side: max(each[side] for each in judged.values()) for side in ("committed", "found")}
    results = {
        "seconds": target(seconds, minutes * 60),
        # At most 1 is wanted: what is committed, divided by what was found.
        "average_precision": target(best["committed"], best["found"]),
        "candidates": judged,
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


def _tuned(folder: Path, minutes: float) -> Params:
    """The parameters that the search prints."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "fraudloop"), "tune", "--minutes", str(minutes)],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    content = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    return params.parse(yaml.safe_dump(content | yaml.safe_load(done.stdout)), "what tune prints")


def _validation(folder: Path, said: Params, sampler: str, estimator: str) -> float:
    """The average precision on validation of a candidate as `said` has it, fitted anew."""
    tables = {
        part: artifacts.read_table(
            said.model_copy(
                update={
                    "paths": said.paths.model_copy(
                        update={"prepared": folder / said.paths.prepared}
                    )
                }
            ),
            part,
        )
        for part in ("train", "validation")
    }
    card = cards.load(ROOT / said.paths.card)
    pipeline = fit(
        tables["train"],
        card,
        sampler,
        estimator,
        said.candidates[sampler][estimator],
        seed=said.seed,
        threads=said.threads,
    )
    labels = tables["validation"][card.label.column].to_numpy()
    odds = log_odds(pipeline, tables["validation"], card)
    return round(float(average_precision_score(labels, odds)), 6)


def _nested(values: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for (sampler, estimator), value in values.items():
        made.setdefault(sampler, {})[estimator] = value
    return made


if __name__ == "__main__":
    main()
