"""The stage that decides: champion, threshold, figures, plots, model card and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop import artifacts, files
from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.dataset.split import require_fraud
from fraudloop.errors import FraudloopError
from fraudloop.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from fraudloop.training.curves import Measured
    from fraudloop.training.evaluate import Account, Trained
    from fraudloop.training.figures import Judgement
    from fraudloop.training.importance import Importances
    from fraudloop.training.scored import Policy

Scores = NDArray[np.float64]


def evaluate(params: Params) -> dict[str, Any]:
    """Choose champion and threshold on validation, and read the test part once to judge them."""
    from fraudloop.training import evaluate as judging
    from fraudloop.training.plots import draw_all
    from fraudloop.training.report import model_card, report_page

    desk = Desk(params)
    candidates = desk.candidates()
    chosen = judging.champion(candidates)
    models, left_out = desk.models(chosen)
    accounts = {way: desk.account(model) for way, model in models.items()}
    used = params.split.use
    metrics = judging.summary(
        {"id": desk.card.id, "split": used, "synthetic": desk.report["synthetic"]},
        chosen,
        candidates,
        accounts,
        judging.bounds(models[used].test, desk.policy, desk.rng()),
    )
    importances = desk.importances(chosen, models[used])
    detail = {
        "accounts": {way: account.as_json() for way, account in accounts.items()},
        "alerts_per_day": params.operating_point.alerts_per_day,
        "candidates": desk.compared(candidates, chosen),
        "importance": [asdict(each) for each in importances.features],
        "learning_curve": desk.learning_curve(chosen),
        "left_out": left_out,
        "policy": asdict(desk.policy),
        "recipe": desk.recipe(chosen),
        "slices": {way: desk.sliced(models[way], accounts[way].threshold) for way in models},
        "study": desk.study(chosen),
        "transactions_per_day": desk.transactions_per_day,
    }
    evaluated = metrics | detail
    measured = desk.measured(models[used], accounts[used], importances, detail)
    plots = draw_all(measured, "synthetic data" if desk.report["synthetic"] else desk.card.id)

    output = params.paths.output
    for name, content in plots.items():
        files.write_bytes(output / artifacts.PLOTS / name, content)
    page = report_page(evaluated, desk.report, desk.card, plots)
    text = model_card(evaluated, desk.report, desk.card)
    files.write_bytes(output / artifacts.REPORT, page.encode())
    files.write_bytes(output / artifacts.MODEL_CARD, text.encode())
    files.write_json(output / artifacts.EVALUATION, evaluated)
    decided = {"candidate": chosen, "threshold": accounts[used].threshold}
    files.write_json(output / artifacts.CHAMPION, decided)
    files.write_json(output / artifacts.METRICS, metrics)
    return metrics


@dataclass(frozen=True)
class Desk:
    """What an evaluation works with: parameters, card, and what the stages before have left."""

    params: Params

    @cached_property
    def card(self) -> Card:
        """The dataset card."""
        return cards.load(self.params.paths.card)

    @cached_property
    def report(self) -> dict[str, Any]:
        """What `preprocess` found in the raw file."""
        return artifacts.read_json(self.params.paths.output / artifacts.DATA_REPORT)

    @cached_property
    def policy(self) -> Policy:
        """What alerts cost, and how many can be looked at."""
        from fraudloop.training.evaluate import policy

        return policy(self.params.operating_point, self.card, self.report)

    @cached_property
    def transactions_per_day(self) -> float:
        """How many transactions a day brings."""
        from fraudloop.training.evaluate import transactions_per_day

        return transactions_per_day(self.params.operating_point, self.card, self.report)

    @cached_property
    def log_odds(self) -> dict[str, Scores]:
        """What each candidate gives the validation rows."""
        return {
            name: artifacts.validation_log_odds(self.params, name)
            for name in artifacts.pairs(self.params)
        }

    def rng(self) -> np.random.Generator:
        """Randomness, each time anew: no figure depends on another."""
        return np.random.default_rng(self.params.seed)

    def table(self, part: str, way: str | None = None) -> pd.DataFrame:
        """A part of one way of dividing the table: of the one in use, if none is named."""
        return artifacts.read_table(self.params, part, way)

    def candidates(self) -> dict[str, Judgement]:
        """How well each candidate ranks the validation rows."""
        from fraudloop.training.evaluate import by_rank, scored
        from fraudloop.training.figures import judge

        amount = self.params.operating_point.fraud_amount
        table = self.table("validation")
        settings = self.params.evaluation
        return {
            name: judge(
                scored(table, self.card, by_rank(found), amount),
                0.5,
                self.policy,
                resamples=settings.resamples,
                confidence=settings.confidence,
                rng=self.rng(),
            )
            for name, found in self.log_odds.items()
        }

    def models(self, chosen: str) -> tuple[dict[str, Trained], dict[str, str]]:
        """The champion on the split in use, and its recipe anew on every other; and why not."""
        from fraudloop.training.evaluate import trained

        used = self.params.split.use
        found: dict[str, Any] = {
            used: artifacts.loaded(artifacts.dumped_candidate(self.params, chosen))
        }
        left_out: dict[str, str] = {}
        for way in sorted(set(self.report["splits"]) - {used}):
            parts = self.report["splits"][way]
            frauds = {part: counts["frauds"] for part, counts in parts.items()}
            try:
                require_fraud(way, frauds)
                found[way] = self._fitted(chosen, way)
            except FraudloopError as error:  # a small table may be divisible in one way only
                left_out[way] = str(error)
        models = {
            way: trained(
                pipeline,
                {part: self.table(part, way) for part in ("validation", "test")},
                self.card,
                self.params.operating_point.fraud_amount,
            )
            for way, pipeline in found.items()
        }
        return models, left_out

    def account(self, model: Trained) -> Account:
        """How a model does, at the threshold that its validation rows ask for."""
        from fraudloop.training.evaluate import account

        decide_by = self.params.operating_point.decide_by
        return account(model, self.policy, decide_by, self.params.evaluation, self.params.seed)

    def compared(self, candidates: Mapping[str, Judgement], chosen: str) -> list[dict[str, Any]]:
        """The candidates, best first, each with its difference to the champion."""
        from fraudloop.training.compare import compare

        settings = self.params.evaluation
        labels = self.table("validation")[self.card.label.column].to_numpy()
        differences = compare(
            labels,
            self.log_odds,
            chosen,
            resamples=settings.resamples,
            confidence=settings.confidence,
            rng=self.rng(),
        )

        def behind(found: dict[str, Any]) -> dict[str, Any]:
            return {**found, "interval": {"difference": found["interval"]}}

        ranked = sorted(candidates, key=lambda name: -candidates[name].figures["average_precision"])
        return [
            {
                "candidate": name,
                **candidates[name].only("average_precision", "roc_auc", "recall_at_90_precision"),
                "behind": None if name == chosen else behind(differences[name].as_json()),
            }
            for name in ranked
        ]

    def sliced(self, model: Trained, threshold: float) -> dict[str, Any]:
        """How the champion does on parts of the test rows; validation rows say where one ends."""
        from fraudloop.training.slices import quartiles, slices

        settings = self.params.evaluation
        return slices(
            model.test,
            threshold,
            self.policy,
            edges=quartiles(model.validation.amounts),
            resamples=settings.resamples,
            confidence=settings.confidence,
            rng=self.rng(),
        )

    def importances(self, chosen: str, model: Trained) -> Importances:
        """What the champion looks at, on validation rows."""
        from fraudloop.training.importance import importances

        return importances(
            artifacts.loaded(artifacts.dumped_candidate(self.params, chosen)),
            self.table("validation"),
            self.card,
            model.validation.scores,
            seed=self.params.seed,
        )

    def measured(
        self,
        model: Trained,
        account: Account,
        importances: Importances,
        detail: Mapping[str, Any],
    ) -> Measured:
        """What there is to draw."""
        from fraudloop.training.curves import Measured

        return Measured(
            rows=model.test,
            uncalibrated=model.before["test"].scores,
            thresholds=account.thresholds,
            decided_by=account.decided_by,
            policy=self.policy,
            transactions_per_day=self.transactions_per_day,
            candidates={
                each["candidate"]: {
                    "average_precision": each["average_precision"],
                    **each["interval"]["average_precision"],
                    "real": None if each["behind"] is None else each["behind"]["real"],
                }
                for each in detail["candidates"]
            },
            slices=detail["slices"][self.params.split.use],
            importances=importances,
            learning_curve=detail["learning_curve"],
        )

    def study(self, chosen: str) -> list[dict[str, Any]]:
        """Each sampler before the champion's estimator: done rightly, and once before the split."""
        import pandas as pd

        from fraudloop.training.study import right_and_wrong

        table = pd.concat([self.table("train"), self.table("validation")], ignore_index=True)
        split = self.params.split
        _, estimator = artifacts.pairs(self.params)[chosen]
        held_out = split.validation / (1 - split.test)
        return [
            {
                "sampler": sampler,
                **right_and_wrong(
                    table, self.card, **self._recipe(sampler, estimator), held_out=held_out
                ),
            }
            for sampler in self.params.samplers
        ]

    def learning_curve(self, chosen: str) -> list[dict[str, float]]:
        """What the champion's recipe reaches with fewer training rows, where that was asked for."""
        from fraudloop.training.study import learning_curve

        sampler, estimator = artifacts.pairs(self.params)[chosen]
        shares = self.params.evaluation.learning_curve
        return learning_curve(
            shares,
            self.table("train"),
            self.table("validation"),
            self.card,
            **self._recipe(sampler, estimator),
        )

    def recipe(self, chosen: str) -> dict[str, Any]:
        """How the champion is made, for people to read."""
        from fraudloop.training.candidates import settings

        sampler, estimator = artifacts.pairs(self.params)[chosen]
        candidate = artifacts.candidate(self.params, sampler, estimator)
        return {
            "sampler": sampler,
            "estimator": estimator,
            **settings(sampler, estimator, candidate),
            "seed": self.params.seed,
            "threads": self.params.threads,
            "resamples": self.params.evaluation.resamples,
            "confidence": self.params.evaluation.confidence,
        }

    def _fitted(self, chosen: str, way: str) -> Any:
        from fraudloop.training.fit import fit_and_calibrate

        sampler, estimator = artifacts.pairs(self.params)[chosen]
        pipeline, _ = fit_and_calibrate(
            self.table("train", way),
            self.table("validation", way),
            self.card,
            **self._recipe(sampler, estimator),
        )
        return pipeline

    def _recipe(self, sampler: str, estimator: str) -> dict[str, Any]:
        return {
            "sampler": sampler,
            "estimator": estimator,
            "candidate": artifacts.candidate(self.params, sampler, estimator),
            "seed": self.params.seed,
            "threads": self.params.threads,
        }
