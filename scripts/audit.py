"""Asks pip-audit about everything that is pinned, and holds it against dated exceptions.

`supply-chain/exceptions.yaml` names what is known and accepted, why, and until when; what is known
and not named there fails, and so does an exception whose day has come or that nothing needs.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
EXCEPTIONS = ROOT / "supply-chain" / "exceptions.yaml"
PINNED = (ROOT / "scripts" / "pipenv-requirements.txt", ROOT / "scripts" / "apart" / "checkov.txt")


@dataclass(frozen=True)
class Accepted:
    """One exception."""

    package: str
    id: str
    until: datetime.date
    why: str


def main() -> int:
    """Audit; 0 only where nothing is known that is not accepted."""
    accepted = [Accepted(**each) for each in yaml.safe_load(EXCEPTIONS.read_text("utf-8")) or []]
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, text in _pinned():
        print(f"pip-audit: {name}")
        found |= known(_audited(text))
    wrong = judged(found, accepted, datetime.datetime.now(tz=datetime.UTC).date())
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"Nothing is known but {len(accepted)} accepted, in {EXCEPTIONS.name}.")
    return 1 if wrong else 0


def known(audit: dict[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What pip-audit told, by package and id: under which other ids, and what mends it."""
    return {
        (each["name"], hole["id"]): (*hole["aliases"], *hole["fix_versions"])
        for each in audit["dependencies"]
        for hole in each.get("vulns", [])
    }


def judged(
    found: dict[tuple[str, str], tuple[str, ...]],
    accepted: list[Accepted],
    today: datetime.date,
) -> list[str]:
    """What is wrong, one sentence each.

    >>> one = Accepted("left", "CVE-1", datetime.date(2027, 1, 1), "not reached")
    >>> judged({("left", "PYSEC-1"): ("CVE-1", "2.0")}, [one], datetime.date(2026, 12, 1))
    []
    >>> judged({}, [one], datetime.date(2026, 12, 1))
    ['left CVE-1 is known no more: take its exception away.']
    >>> judged({("left", "CVE-1"): ()}, [one], datetime.date(2027, 1, 1))
    ['left CVE-1 was accepted until 2027-01-01: mend it or say anew why not.']
    >>> judged({("left", "CVE-1"): ()}, [], datetime.date(2027, 1, 1))
    ['left CVE-1 is known: take a mended version, or accept it with a reason and a date.']
    """
    wrong = []
    used = set()
    for (package, hole), others in sorted(found.items()):
        fits = [each for each in accepted if each.package == package and each.id in (hole, *others)]
        used |= set(fits)
        if not fits:
            wrong.append(
                f"{package} {hole} is known: take a mended version, or accept it with a reason "
                "and a date."
            )
    for each in accepted:
        if each not in used:
            wrong.append(f"{each.package} {each.id} is known no more: take its exception away.")
        elif each.until <= today:
            wrong.append(
                f"{each.package} {each.id} was accepted until {each.until}: mend it or say anew "
                "why not."
            )
    return wrong


def _pinned() -> list[tuple[str, str]]:
    """Everything once, as name==version; pip-audit takes no package in two versions at a time."""
    lock = json.loads((ROOT / "Pipfile.lock").read_text("utf-8"))
    pins = {
        f"{name}{entry['version']}"
        for category, packages in lock.items()
        if category != "_meta"
        for name, entry in packages.items()
    }
    for path in PINNED:
        lines = path.read_text("utf-8").splitlines()
        pins |= {line.split()[0].rstrip(";") for line in lines if "==" in line.split(" ")[0]}
    rounds: list[dict[str, str]] = []
    for pin in sorted(pins):
        name = pin.partition("==")[0].partition("[")[0].lower()
        free = next((each for each in rounds if name not in each), None)
        if free is None:
            rounds.append(free := {})
        free[name] = pin
    return [(f"{len(each)} packages", "\n".join(each.values()) + "\n") for each in rounds]


def _audited(requirements: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text(requirements, encoding="utf-8")
        words = ["--requirement", str(path), "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run(  # noqa: S603  # no shell
            [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", *words],
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout.startswith("{"):
        raise SystemExit(f"pip-audit could not ask: {done.stderr.strip()[-500:]}")
    read: dict[str, Any] = json.loads(done.stdout)
    return read


if __name__ == "__main__":
    raise SystemExit(main())
