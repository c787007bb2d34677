"""One version decides, whoever promotes, whatever crashes: and the next call mends the rest."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fraudloop.errors import RegistryConflictError, RegistryError
from fraudloop.lifecycle.registry import LEASE, Registry, Step
from fraudloop.lifecycle.store import SHA256
from tests.lifecycle.stores import NAME, Clock, Crash, MemoryStore

SAID: dict[str, Any] = {"by": "ana", "why": "it catches more"}


class Ledger:
    """Remembers what it was told; is away while `away`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.away = False

    def __call__(self, step: Step, end: str) -> None:
        if self.away:
            raise OSError("the ledger is away")
        self.told.append((step.key, end))


def registry(store: MemoryStore, ledger: Ledger | None = None, **more: Any) -> Registry:
    return Registry(store, NAME, ledger, **more)


def test_a_promotion_moves_champion_and_previous_and_takes_the_challengers_place() -> None:
    store, ledger = MemoryStore(aliases={"challenger": 2}), Ledger()
    registry(store, ledger).promote("1", **SAID)
    assert store.aliases == {"challenger": 2, "champion": 1}
    changed = registry(store, ledger).promote("challenger", **SAID)
    assert store.aliases == {"champion": 2, "previous": 1}
    assert (changed.step.before, changed.step.after) == (1, 2)
    assert (changed.step.by, changed.step.why) == ("ana", "it catches more")
    assert ledger.told == [("cards/1", "made"), ("cards/2", "made")]


def test_a_rollback_goes_back_one_version_and_another_one_further() -> None:
    store = MemoryStore()
    for which in ("1", "2", "3"):
        registry(store).promote(which, **SAID)
    assert registry(store).rollback(**SAID).version.number == 2
    assert store.aliases == {"champion": 2, "previous": 1}
    assert registry(store).rollback(**SAID).version.number == 1
    assert store.aliases == {"champion": 1}
    with pytest.raises(RegistryConflictError, match="no version before"):
        registry(store).rollback(**SAID)
    registry(store).promote("3", **SAID)
    assert store.aliases == {"champion": 3, "previous": 1}


def test_a_version_is_named_by_number_alias_or_its_bundles_own_version() -> None:
    store = MemoryStore(aliases={"challenger": 3})
    store.tags[2][SHA256] = "abcdef" + 58 * "0"
    known = registry(store)
    assert [known.version(each).number for each in ("1", "challenger", "abcdef000000")] == [1, 3, 2]
    for unknown in ("9", "champion", "fedcba", "1; drop"):
        with pytest.raises(RegistryError, match="see `fraudloop registry list`"):
            known.version(unknown)


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"by": "ana", "why": " "}, "needs a reason"),
        ({"by": "", "why": "better"}, "needs a user"),
        ({"by": "ana", "why": "x" * 1001}, "longer than 1,000"),
    ],
)
def test_without_a_reason_and_a_user_nothing_is_changed(said: Any, refusal: str) -> None:
    store = MemoryStore()
    with pytest.raises(RegistryError, match=refusal):
        registry(store).promote("1", **said)
    assert store.writes == []


def test_what_nothing_vouches_for_cannot_decide() -> None:
    store = MemoryStore()
    store.tags[1] = {}
    with pytest.raises(RegistryError, match="nothing vouches"):
        registry(store).promote("1", **SAID)
    assert store.writes == []


def test_who_decides_already_is_not_promoted_again() -> None:
    store = MemoryStore()
    registry(store).promote("1", **SAID)
    with pytest.raises(RegistryConflictError, match="decides already"):
        registry(store).promote("1", **SAID)


def whole_writes() -> int:
    """How many writes a promotion and all that follows from it take."""
    store = prepared()
    before = len(store.writes)
    registry(store, Ledger()).promote("challenger", **SAID)
    return len(store.writes) - before


def prepared() -> MemoryStore:
    """Version 1 decided before 2, and 3 is the challenger."""
    store = MemoryStore()
    for which in ("1", "2"):
        registry(store, Ledger()).promote(which, **SAID)
    store.aliases["challenger"] = 3
    return store


WRITES = range(6)


def test_a_promotion_is_so_many_writes() -> None:
    assert whole_writes() == len(WRITES)


@pytest.mark.parametrize("place", WRITES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", ["promote", "rollback", "repair"])
def test_a_crash_at_any_write_leaves_one_champion_and_the_next_call_mends_the_rest(
    place: int, when: str, then: str
) -> None:
    store, ledger = prepared(), Ledger()
    setattr(store, f"crash_{when}", len(store.writes) + place)
    with pytest.raises(Crash):
        registry(store, ledger).promote("challenger", **SAID)
    store.crash_before = store.crash_after = None
    decided = store.aliases["champion"]
    assert decided == (3 if place > 1 or (place, when) == (1, "after") else 2)

    after = registry(store, ledger, lives=lambda _: False)
    after.repair()
    assert store.aliases["champion"] == decided  # mending decides nothing
    line = [1, 2, 3] if decided == 3 else [1, 2]
    if then == "promote":
        after.promote("1", **SAID)
        line.append(1)
    elif then == "rollback":
        after.rollback(**SAID)
        line.pop()
    assert store.aliases["champion"] == line[-1]
    assert (
        store.aliases["previous"] == line[-2] if len(line) > 1 else "previous" not in store.aliases
    )
    assert (store.aliases.get("challenger") == 3) == (decided == 2)
    assert [step.after for step in after.steps()][:2] == [1, 2]
    announced = (place, when) != (0, "before")
    if announced or then != "repair":
        end = "abandoned" if announced and decided == 2 else "made"
        assert dict(ledger.told)["cards/3"] == end
    else:
        assert ledger.told == []


def test_a_repaired_registry_stays_as_it_is() -> None:
    store, ledger = prepared(), Ledger()
    store.crash_after = len(store.writes) + 1
    with pytest.raises(Crash):
        registry(store, ledger).promote("challenger", **SAID)
    store.crash_after = None
    assert registry(store, ledger).repair() != ()
    writes = len(store.writes)
    assert registry(store, ledger).repair() == ()
    assert len(store.writes) == writes


def test_of_two_promoters_at_once_one_wins_and_the_other_is_told() -> None:
    for _ in range(20):
        store = prepared()
        together = threading.Barrier(2, timeout=60)
        ends: list[str] = []

        def wait(what: str, together: threading.Barrier = together) -> None:
            if what == "once step.000003":  # both have looked, neither has announced
                together.wait()

        store.at_write = wait

        def promote(which: str, store: MemoryStore = store, ends: list[str] = ends) -> None:
            try:
                registry(store).promote(which, by=which, why="mine is better")
                ends.append("won")
            except RegistryConflictError as error:
                ends.append(str(error))

        threads = [threading.Thread(target=promote, args=(which,)) for which in ("1", "3")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ends, reverse=True)[0] == "won"
        lost = next(end for end in ends if end != "won")
        winner = store.aliases["champion"]
        assert lost.startswith(f"{winner} was first with a promote to version {winner}")
        assert [step.after for step in registry(store).steps()] == [1, 2, winner]


def test_who_comes_while_another_promotes_is_told_so_and_changes_nothing() -> None:
    store, clock = prepared(), Clock()
    refused: list[str] = []

    def come_between(what: str) -> None:
        if what == "alias champion=3":
            with pytest.raises(RegistryConflictError) as told:
                registry(store, clock=clock).rollback(**SAID)
            refused.append(str(told.value))

    store.at_write = come_between
    registry(store, clock=clock).promote("3", **SAID)
    assert refused[0].startswith("ana is just making a promote to version 3")
    assert store.aliases["champion"] == 3


def test_who_is_taken_for_dead_and_wakes_up_has_not_the_last_word() -> None:
    store, clock = prepared(), Clock()

    def sleep(what: str) -> None:
        if what == "alias champion=3":
            store.at_write = lambda _: None
            clock.forward(LEASE.total_seconds() + 1)
            registry(store, clock=clock).promote("1", by="ben", why="meanwhile")

    store.at_write = sleep
    with pytest.raises(RegistryConflictError, match="was undone"):
        registry(store, clock=clock).promote("3", **SAID)
    assert store.aliases["champion"] == 1
    assert [step.after for step in registry(store).steps()] == [1, 2, 1]


def test_who_announces_too_slowly_does_not_decide() -> None:
    store, clock = prepared(), Clock()
    store.at_write = lambda what: clock.forward(15) if what.startswith("once step") else None
    with pytest.raises(RegistryConflictError, match="took too long"):
        registry(store, clock=clock).promote("3", **SAID)
    assert store.aliases["champion"] == 2
    store.at_write = lambda _: None
    registry(store, clock=clock).promote("3", **SAID)
    assert store.aliases["champion"] == 3


def test_a_write_that_the_store_refuses_is_over_at_once() -> None:
    store = prepared()
    known = registry(store)

    def delete(what: str) -> None:
        if what == "alias champion=3":
            del store.tags[3]

    store.at_write = delete
    with pytest.raises(RegistryError, match="no version 3"):
        known.promote("3", **SAID)
    store.at_write = lambda _: None
    known.rollback(**SAID)
    assert store.aliases["champion"] == 1


def test_a_champion_made_by_hand_is_noted_and_can_be_rolled_back() -> None:
    store, ledger = prepared(), Ledger()
    store.aliases["champion"] = 3
    said = registry(store, ledger).repair()
    assert said == ("version 3 was made champion in MLflow itself: noted",)
    assert registry(store).steps()[-1].action == "by hand"
    assert registry(store, ledger).rollback(**SAID).version.number == 2


def test_what_the_ledger_could_not_take_it_is_told_by_the_next_call() -> None:
    store, ledger = MemoryStore(), Ledger()
    ledger.away = True
    changed = registry(store, ledger).promote("1", **SAID)
    assert store.aliases["champion"] == 1
    assert changed.said == ("step 1 is not in the ledger yet (the ledger is away)",)
    ledger.away = False
    registry(store, ledger).promote("2", **SAID)
    assert ledger.told == [("cards/1", "made"), ("cards/2", "made")]


def test_a_step_that_is_not_ours_is_a_sentence() -> None:
    store = prepared()
    store.written["step.000003"] = "{}"
    with pytest.raises(RegistryError, match=r"step\.000003 of the registry's steps"):
        registry(store).steps()
