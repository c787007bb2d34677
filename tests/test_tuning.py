"""`fraudloop tune`: its rows, its stores and its ends, on few rows and with small candidates."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import yaml

from fraudloop import cli, tracking, tuning
from fraudloop.errors import FraudloopError, ParamsError, TrainingError
from fraudloop.params import Candidate, Params
from fraudloop.training import fit as fitting
from fraudloop.training import spaces, tune
from tests.fitted import PARAMS, ROOT, start_python, table
from tests.small_search import (
    NAMES,
    TIME,
    TRIALS,
    Spy,
    children,
    params_in,
    prepare,
    runs_of,
    search,
)

# MLflow's tables use what SQLAlchemy 2.1 would rather they did not.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@dataclass
class Ran:
    params: Params
    lines: str
    said: list[str]
    fits: list[pd.DataFrame]
    judged: list[pd.DataFrame]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A search that was made once. Look, but do not go on with it."""
    params = prepare(params_in(tmp_path_factory.mktemp("ran")))
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        lines, said = search(params)
    return Ran(params, lines, said, spy.fits, spy.judged)


def test_no_fold_trains_on_the_future_and_no_fit_sees_validation_rows(ran: Ran) -> None:
    assert len(ran.fits) == len(ran.judged)
    for fitted, judged in zip(ran.fits, ran.judged, strict=True):
        assert fitted[TIME].max() < judged[TIME].min()
    last = table()[TIME].sort_values(ignore_index=True)[8999]
    assert max(fitted[TIME].max() for fitted in ran.fits) <= last


def test_while_it_searches_no_validation_row_is_judged_by(ran: Ran) -> None:
    last = table()[TIME].sort_values(ignore_index=True)[8999]
    on_validation = [judged[TIME].max() > last for judged in ran.judged]
    first = on_validation.index(True)
    assert first >= TRIALS * len(NAMES) * tune.FOLDS_FIRST
    assert len(ran.fits[first]) == 9000  # the finalists are fitted on the whole training part


def test_finalists_are_looked_at_again_under_a_seed_that_did_not_choose_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stump = Candidate(estimator={"max_depth": 1, "min_samples_leaf": 80})
    every = {**PARAMS.candidates["undersample"], "decision_tree": stump}
    params = params_in(tmp_path, candidates={**PARAMS.candidates, "undersample": every})
    spy = Spy(monkeypatch)
    search(prepare(params), names=NAMES[1:])
    first = next(place for place, rows in enumerate(spy.fits) if len(rows) == 9000)
    assert set(spy.seeds[:first]) == {PARAMS.seed}
    rest = list(zip(spy.seeds, spy.fits, strict=True))[first:]
    assert {seed for seed, rows in rest if len(rows) == 9000} == {PARAMS.seed}
    assert {seed for seed, rows in rest if len(rows) < 9000} == {PARAMS.seed + 1}


def test_the_same_seed_and_trials_give_the_same_lines_and_the_same_trials(
    ran: Ran, tmp_path: Path
) -> None:
    params = prepare(params_in(tmp_path))
    lines, said = search(params)
    assert lines == ran.lines
    assert said[:-1] == ran.said[:-1]  # the last one names the folder

    def tried(runs: list[Any]) -> list[Any]:
        settings = [(run.data.tags["mlflow.runName"], run.data.params) for run in children(runs)]
        return sorted(settings, key=str)

    assert tried(runs_of(params)) == tried(runs_of(ran.params))


def test_the_lines_are_parameters_and_name_what_was_searched(ran: Ran) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    kept = yaml.safe_load(ran.lines)
    assert set(kept) == {"candidates"}
    for sampler, estimators in kept["candidates"].items():
        content["candidates"].setdefault(sampler, {}).update(estimators)
    params = Params.model_validate(content)
    for name in NAMES:
        sampler, _, estimator = name.partition("-")
        read = params.candidates[sampler][estimator]
        assert read == Candidate.model_validate(kept["candidates"][sampler][estimator])


def test_the_table_shows_what_was_and_what_was_found(ran: Ran) -> None:
    rows = {row.split()[0]: row.split() for row in ran.said if row.startswith(tuple(NAMES))}
    assert set(rows) >= set(NAMES)
    for name in NAMES:
        assert rows[name][1] == str(TRIALS)
        assert rows[name][-1] in ("now", "found")
    assert any("validation part chose" in row for row in ran.said)


def test_a_second_run_goes_on_and_repeats_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = prepare(params_in(tmp_path))
    first, _ = search(params, trials=2)
    store = tracking.address(params.paths.output / "tuning" / "trials.db")
    summaries = optuna.get_all_study_summaries(store)
    assert [each.user_attrs[tune.CONCLUDED] for each in summaries] == [2, 2]
    spy = Spy(monkeypatch)
    same, _ = search(params, trials=2)
    assert same == first
    assert spy.fits == []
    _, said = search(params, trials=3)
    assert "going on after 4 trials" in said
    assert spy.fits
    assert len(children(runs_of(params))) == 6


def test_what_the_parameters_say_now_is_measured_though_all_trials_were_made(
    tmp_path: Path,
) -> None:
    params, names = prepare(params_in(tmp_path)), NAMES[1:]
    search(params, trials=2, names=names)
    stump = Candidate(estimator={"max_depth": 1})
    every = {**PARAMS.candidates["undersample"], "decision_tree": stump}
    changed = params_in(tmp_path, candidates={**PARAMS.candidates, "undersample": every})
    _, said = search(changed, trials=2, names=names)
    (row,) = [row.split() for row in said if row.startswith(f"{names[0]} ")]
    assert row[1] == "3"
    assert float(row[2]) > 0


def test_a_terminal_shows_how_far_it_is_and_stdout_stays_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    with tuning._bar() as bar:
        bar(0.5, "none-random_forest, 3.0 minutes left")
    assert terminal.getvalue() == ""
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with tuning._bar() as bar:
        bar(0.5, "none-random_forest, 3.0 minutes left")
    assert "none-random_forest, 3.0 minutes left" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_other_rows_or_a_fresh_search_start_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = prepare(params_in(tmp_path))
    names = NAMES[:1]
    search(params, trials=1, names=names)
    spy = Spy(monkeypatch)
    _, said = search(params, trials=1, names=names, fresh=True)
    assert not [row for row in said if row.startswith("going on")]
    fresh = len(spy.fits)
    assert fresh >= 4
    path = params.paths.prepared / params.split.use / "train.parquet"
    pd.read_parquet(path).head(8990).to_parquet(path)
    search(params, trials=1, names=names)
    assert len(spy.fits) == 2 * fresh
    assert len(children(runs_of(params))) == 3  # what was tried before is still told of


def test_the_stratified_split_is_searched_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = PARAMS.split.model_copy(update={"use": "stratified"})
    params = prepare(params_in(tmp_path, split=split))
    spy = Spy(monkeypatch)
    search(params, trials=1, names=NAMES[:1])
    for fitted, judged in list(zip(spy.fits, spy.judged, strict=True))[:4]:
        assert fitted[TIME].max() > judged[TIME].min()
        assert len(fitted) + len(judged) == 9000
        assert not set(fitted.index) & set(judged.index)


def test_two_at_once_are_refused_and_one_after_the_other_is_not(tmp_path: Path) -> None:
    refused = pytest.raises(TrainingError, match="another `fraudloop tune` is at work in")
    with tuning._alone(tmp_path), refused, tuning._alone(tmp_path):
        pass
    with tuning._alone(tmp_path):
        pass


def test_an_interrupt_that_a_library_swallowed_still_ends_the_search() -> None:
    before = signal.getsignal(signal.SIGINT)
    with tuning._stoppable() as check:
        check()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_in_the_midst_of_a_fit_is_heard_however_the_fit_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, fit, fits = prepare(params_in(tmp_path)), fitting.fit, []

    def swallowing(*given: Any, **named: Any) -> Any:
        fits.append(given)
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return fit(*given, **named)

    monkeypatch.setattr(fitting, "fit", swallowing)
    with pytest.raises(KeyboardInterrupt):
        search(params)
    assert len(fits) == 1


COMMAND = "import sys; from fraudloop.cli import main; sys.argv[0] = 'fraudloop'; main()"


def test_ctrl_c_ends_with_one_sentence_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = prepare(params_in(tmp_path))
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["paths"] = {key: str(path) for key, path in params.paths.model_dump().items()}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    arguments = ["tune", "--candidate", NAMES[0], "--trials", "400"]
    process = start_python(COMMAND, *arguments)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"{NAMES[0]}: 0.")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "fraudloop: interrupted; what stood before still stands"
    assert "Traceback" not in err
    done = len(children(runs_of(params)))
    assert 0 < done < 400
    arguments[-1] = str(done + 1)
    monkeypatch.setattr(sys, "argv", ["fraudloop", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert f"going on after {done} trials" in err
    assert set(yaml.safe_load(out)) == {"candidates"}


@pytest.mark.parametrize("name", ["trials.db", "mlflow.db"])
def test_a_store_that_is_none_is_named_in_one_sentence(name: str, tmp_path: Path) -> None:
    params = prepare(params_in(tmp_path))
    spoilt = params.paths.output / "tuning" / name
    spoilt.parent.mkdir(parents=True)
    spoilt.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(
        TrainingError, match=r"the trials in .* cannot be used \(.*not a data"
    ) as no:
        search(params, trials=1, names=NAMES[:1])
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"names": ["none-forest"]}, "no candidate is called 'none-forest': write <sampler>-<esti"),
        ({"names": ["forest"]}, "no candidate is called 'forest': .* smote, .* random_forest, "),
        ({"minutes": 0.0}, "--minutes is 0: give it a number above 0"),
        ({"minutes": -1.5}, "--minutes is -1.5: give it a number above 0"),
        ({"minutes": float("nan")}, "--minutes is nan: give it a number above 0"),
        ({"trials": 0}, "--trials is 0: give it a number above 0"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    changes: dict[str, Any], named: str, ran: Ran
) -> None:
    with pytest.raises(ParamsError, match=named) as refused:
        search(ran.params, **changes)
    assert "\n" not in str(refused.value)


def test_a_candidate_without_a_space_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaces, "ESTIMATORS", {})
    with pytest.raises(ParamsError, match="no space is described for estimator 'logistic_regress"):
        search(params_in(tmp_path))


@pytest.mark.parametrize("part", ["train", "validation"])
def test_without_prepared_data_it_says_what_to_run_and_leaves_nothing(
    part: str, tmp_path: Path
) -> None:
    params = prepare(params_in(tmp_path))
    (params.paths.prepared / params.split.use / f"{part}.parquet").unlink()
    with pytest.raises(FraudloopError, match=rf"no .*{part}\.parquet: run `fraudloop preprocess`"):
        search(params)
    assert not params.paths.output.exists()


def test_a_setting_that_cannot_be_fitted_is_named_and_gives_way_to_one_that_can(
    tmp_path: Path,
) -> None:
    spoilt = Candidate(sampler={"sampling_strategy": 1e-9}, estimator={"max_depth": 3})
    every = {**PARAMS.candidates["undersample"], "decision_tree": spoilt}
    others = {**PARAMS.candidates, "undersample": every}
    lines, said = search(prepare(params_in(tmp_path, candidates=others)))
    (refused,) = [row for row in said if "cannot be fitted" in row]
    assert refused.startswith(f"as it stands, candidate {NAMES[1]} cannot be fitted (")
    kept = yaml.safe_load(lines)["candidates"]
    assert kept["undersample"]["decision_tree"]["sampler"]["sampling_strategy"] >= 0.01
    assert "logistic_regression" in kept["none"]


def test_a_candidate_that_can_never_be_fitted_is_given_up_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise ParamsError("candidate none-logistic_regression cannot be fitted (never)")

    monkeypatch.setattr(fitting, "fit", never)
    params = prepare(params_in(tmp_path))
    lines, said = search(params, trials=None, minutes=1, names=NAMES[:1])
    assert f"{NAMES[0]} is given up: candidate {NAMES[0]} cannot be fitted (never)" in said
    kept = yaml.safe_load(lines)["candidates"]["none"]["logistic_regression"]
    assert Candidate.model_validate(kept) == PARAMS.candidates["none"]["logistic_regression"]
    assert [run.info.status for run in children(runs_of(params))] == ["FAILED"] * 5
