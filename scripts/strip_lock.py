"""Takes index addresses out of a Pipfile.lock, and refuses one that would install two versions."""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

Lock = dict[str, Any]


def two_versions(lock: Lock) -> list[str]:
    """One sentence for each package that two categories pin to different versions.

    >>> old, new = {"six": {"version": "==1.16"}}, {"six": {"version": "==1.17"}}
    >>> two_versions({"default": old, "develop": new})
    ['six is ==1.16 in default and ==1.17 in develop']
    """
    pins: dict[str, dict[str, str]] = defaultdict(dict)
    for category, packages in lock.items():
        if category != "_meta":
            for name, package in packages.items():
                pins[name][category] = package.get("version", "unpinned")
    return [
        f"{name} is " + " and ".join(f"{version} in {category}" for category, version in at.items())
        for name, at in sorted(pins.items())
        if len(set(at.values())) > 1
    ]


def without_index(lock: Lock) -> Lock:
    """The same lock without sources: pipenv takes its default index or the one pip is set to."""
    stripped: Lock = {"_meta": {**lock["_meta"], "sources": []}}
    for category, packages in lock.items():
        if category != "_meta":
            stripped[category] = {
                name: {key: value for key, value in package.items() if key != "index"}
                for name, package in packages.items()
            }
    return stripped


def main(path: Path) -> int:
    """Rewrite the lock at ``path``, as pipenv would write it; leave one alone that is refused."""
    lock = json.loads(path.read_text(encoding="utf-8"))
    conflicts = two_versions(lock)
    if conflicts:
        print("one package would get two versions: " + "; ".join(conflicts), file=sys.stderr)
        return 1
    aside = path.with_name(path.name + ".part")
    text = json.dumps(without_index(lock), indent=4, separators=(",", ": "), sort_keys=True)
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "Pipfile.lock")))
