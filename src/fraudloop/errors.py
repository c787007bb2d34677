"""One tree of errors: each message is one sentence that says what, where, and what to do.

The CLI turns them into exit codes in one table; nothing else catches them to print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class FraudloopError(Exception):
    """Anything fraudloop refuses to do; the message is for the person who asked."""


class ParamsError(FraudloopError):
    """`params.yaml`, or an override of it, does not say something that can be done."""


class SettingsError(FraudloopError):
    """The environment does not say something that can be done."""


class CardError(FraudloopError):
    """A dataset card is missing, unreadable or contradicts itself."""


class SourceError(FraudloopError):
    """The raw data could not be fetched, or is not what was asked for."""


class DataError(FraudloopError):
    """A table or a transaction does not fit its card; `detail` is for programs."""

    def __init__(self, sentence: str, detail: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(sentence)
        self.detail = list(detail)


class TrainingError(FraudloopError):
    """The data fit the card, but no candidate can be trained or judged on them."""


class BundleError(FraudloopError):
    """A bundle is incomplete, changed, or not the one that was asked for."""


class UsersError(FraudloopError):
    """The users file is missing or broken, or a user cannot be added or removed."""


class RegistryError(FraudloopError):
    """The registry has not what was asked of it, or does not take what it was told."""


class RegistryAwayError(RegistryError):
    """The registry cannot be reached now; what it would have said nobody knows."""


class RegistryConflictError(RegistryError):
    """Somebody else was first, or there is nothing to change."""


class ProjectError(FraudloopError):
    """A folder for a dataset card cannot be made ready."""


class LedgerError(FraudloopError):
    """The ledger cannot do what was asked; trying the same again will not help."""


class LedgerAwayError(LedgerError):
    """The ledger cannot be reached or is too busy now: the same may succeed later."""


class NoDecisionError(LedgerError):
    """There is no decision of that id in the ledger."""


class OpenJobError(LedgerError):
    """A job of the same lane is still open; `job` is its id."""

    def __init__(self, sentence: str, job: str) -> None:
        super().__init__(sentence)
        self.job = job


class SparkError(FraudloopError):
    """Spark is not there, does not start, or could not do its part."""


class BatchError(FraudloopError):
    """A batch of files cannot be scored, or was refused as a whole."""


class RetrainError(FraudloopError):
    """A model cannot be trained anew, and trying again will not help."""


class StoppedError(FraudloopError):
    """Somebody asked for the end of a long step; the same goes on with it later."""


class StreamError(FraudloopError):
    """Kafka, or what a stream is fed from, cannot be used; or another process took its place."""


class AlertError(FraudloopError):
    """A channel could not tell of an alert now; no message of this kind holds a secret."""
