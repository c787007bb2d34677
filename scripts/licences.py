"""Which licences the installed packages say they have; fails on one that is not allowed here.

`supply-chain/licences.yaml` says which are, and names packages whose own words are unclear.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import yaml

ALLOWED = Path(__file__).resolve().parents[1] / "supply-chain" / "licences.yaml"


def main() -> int:
    """Print licences and their packages; 0 only where all are allowed."""
    rules = yaml.safe_load(ALLOWED.read_text("utf-8"))
    by_licence = defaultdict(set)
    for each in distributions():
        by_licence[licence(each, rules["named"])].add(name_of(each))
    refused = {
        text: names for text, names in by_licence.items() if not allowed(text, rules["allowed"])
    }
    for text, names in sorted(by_licence.items()):
        print(f"{len(names):4} {text}")
    for text, names in sorted(refused.items()):
        print(f"{', '.join(sorted(names))}: {text!r} is not allowed", file=sys.stderr)
    if refused:
        print(f"Take another package, or say in {ALLOWED.name} why this may be.", file=sys.stderr)
    return 1 if refused else 0


def name_of(package: Distribution) -> str:
    """A package's name as PyPI normalises it."""
    return re.sub(r"[-_.]+", "-", str(package.metadata["Name"])).lower()


def licence(package: Distribution, named: dict[str, Any]) -> str:
    """What a package says of its licence, in one line; what we found out where it does not."""
    about: Any = package.metadata  # an e-mail's headers, whatever typeshed knows of them
    if name_of(package) in named:
        return str(named[name_of(package)]["licence"])
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    classified = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or []
        if text.startswith("License :: ") and not text.endswith("OSI Approved")
    ]
    if classified:
        return " AND ".join(sorted(classified))
    return (str(about.get("License") or "").strip().splitlines() or ["unknown"])[0][:80]


def allowed(text: str, patterns: list[str]) -> bool:
    """Whether one way through the licence's `or`s has only allowed parts.

    >>> allowed("MIT AND (Apache-2.0 OR GPL-2.0-only)", ["MIT", "Apache.*"])
    True
    >>> allowed("MIT AND GPL-3.0-only", ["MIT"])
    False
    """
    parts = re.split(r"\s+(?:AND|and)\s+|;\s*|,\s*", text)
    return all(
        any(
            re.fullmatch(pattern, choice.strip(" ()"), re.IGNORECASE)
            for choice in re.split(r"\s+(?:OR|or)\s+", part)
            for pattern in patterns
        )
        for part in parts
    )


if __name__ == "__main__":
    raise SystemExit(main())
