"""What a commit's model is beside another's, as the text of one comment.

`make model-report` writes it from `dvc metrics diff`, `dvc params diff` and `dvc diff` against BASE
(main by default); `make report-comment` puts it under a pull request, in place of the one that is
there. GitHub is told by GITHUB_API_URL, GITHUB_REPOSITORY, PULL_REQUEST and GITHUB_TOKEN.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- fraudloop: model report -->"
MOST = 60_000  # characters; GitHub takes 65,536
FIRST = ("average_precision", "roc_auc", "precision", "recall", "f1", "threshold")


def main() -> int:
    """Write the report, or put it under the pull request."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    writing = commands.add_parser("write")
    writing.add_argument("base")
    writing.add_argument("file", type=Path)
    commands.add_parser("comment").add_argument("file", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "write":
            text = report(arguments.base, *compared(arguments.base))
            arguments.file.parent.mkdir(parents=True, exist_ok=True)
            arguments.file.write_text(text, encoding="utf-8")
            print(f"{arguments.file} is written.")
        else:
            print(comment(arguments.file.read_text(encoding="utf-8"), dict(os.environ)))
    except (OSError, KeyError, RuntimeError) as error:
        what = f"{error.args[0]} is not set" if isinstance(error, KeyError) else error
        print(f"The report could not be made or sent: {what}", file=sys.stderr)
        return 1
    return 0


def compared(base: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What DVC says of metrics, parameters and files between a revision and the folder."""
    return (
        _dvc("metrics", "diff", "--json", "--all", base),
        _dvc("params", "diff", "--json", base),
        _dvc("diff", "--json", base),
    )


def report(
    base: str, metrics: dict[str, Any], params: dict[str, Any], files: dict[str, Any]
) -> str:
    """The comment.

    >>> print(report("main", {"m.json": {"test.recall": {"old": 0.8, "new": 0.85, "diff": 0.05}}},
    ...     {}, {}))
    <!-- fraudloop: model report -->
    ### The model beside main's
    <BLANKLINE>
    | figure | main | here | difference |
    |---|---:|---:|---:|
    | `test.recall` | 0.8 | 0.85 | +0.05 |
    <BLANKLINE>
    No parameter differs.
    <BLANKLINE>
    No plot differs.
    <BLANKLINE>
    On synthetic data a figure says that the code works; it says nothing about fraud.
    """
    parts = [MARK, f"### The model beside {base}'s", ""]
    figures = _rows(metrics)
    shown = sorted((row for row in figures if row[0].startswith("test.")), key=_rank)
    others = [row for row in figures if row not in shown]
    if any(row[1] != row[2] for row in figures):
        parts += _table("figure", base, [row for row in shown if row[1] != row[2]] or shown)
        moved = [row for row in others if row[1] != row[2]]
        if moved:
            summary = f"<details><summary>{len(moved)} further figures differ</summary>"
            parts += [summary, "", *_table("figure", base, moved), "</details>", ""]
    else:
        parts += ["No figure differs.", ""]
    changed = _rows(params)
    parts += _table("parameter", base, changed) if changed else ["No parameter differs.", ""]
    plots = _plots(files)
    if plots:
        named = ", ".join(f"`{name}`" for name in plots)
        parts += [f"Plots that differ (the run's files have them side by side): {named}.", ""]
    else:
        parts += ["No plot differs.", ""]
    parts += ["On synthetic data a figure says that the code works; it says nothing about fraud."]
    text = "\n".join(parts)
    if len(text) > MOST:
        end = "\n\n… the rest is too long for a comment: `dvc metrics diff` has it.\n</details>"
        text = text[:MOST].rpartition("\n")[0] + end
    return text


def comment(text: str, environment: dict[str, str]) -> str:
    """Put the text under the pull request; the comment that is there already is changed."""
    api = environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    issue = f"{api}/repos/{environment['GITHUB_REPOSITORY']}/issues"
    token = environment["GITHUB_TOKEN"]
    number = environment["PULL_REQUEST"]
    page, there = 1, None
    while there is None:
        found = _asked("GET", f"{issue}/{number}/comments?per_page=100&page={page}", token)
        there = next(
            (
                each
                for each in found
                if each["body"].startswith(MARK) and each["user"]["type"] == "Bot"
            ),
            None,
        )
        if len(found) < 100:
            break
        page += 1
    if there is None:
        _asked("POST", f"{issue}/{number}/comments", token, {"body": text})
        return "The report is a new comment."
    _asked("PATCH", f"{issue}/comments/{there['id']}", token, {"body": text})
    return "The report's comment is updated."


def _dvc(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  # no shell
        [sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"dvc {' '.join(arguments)} says: {done.stderr.strip()[-500:]}")
    read: dict[str, Any] = json.loads(done.stdout or "{}")
    return read


def _rows(found: dict[str, Any]) -> list[tuple[str, Any, Any, Any]]:
    """Name, old, new, difference, of every file's values."""
    by_file = found.get("diff", found)
    return [
        (name, values.get("old"), values.get("new"), values.get("diff"))
        for _, entries in sorted(by_file.items())
        for name, values in sorted(entries.items())
    ]


def _rank(row: tuple[str, Any, Any, Any]) -> tuple[int, str]:
    name = row[0].removeprefix("test.")
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)


def _table(what: str, base: str, rows: list[tuple[str, Any, Any, Any]]) -> list[str]:
    lines = [f"| {what} | {base} | here | difference |", "|---|---:|---:|---:|"]
    lines += [
        f"| `{name}` | {_said(old)} | {_said(new)} | {_said(by, sign=True)} |"
        for name, old, new, by in rows
    ]
    return [*lines, ""]


def _said(value: Any, sign: bool = False) -> str:
    """A value as a cell; nothing where there is none.

    >>> _said(0.05, sign=True), _said(None), _said(["none", "smote"])
    ('+0.05', '', 'none, smote')
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, float) and math.isfinite(value):
        value = float(f"{value:.4g}")
    text = f"{value:+}" if sign and isinstance(value, int | float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _plots(files: dict[str, Any]) -> list[str]:
    names = {
        each["path"] if isinstance(each["path"], str) else each["path"]["new"]
        for kind in ("added", "deleted", "modified", "renamed")
        for each in files.get(kind, [])
    }
    return sorted(
        Path(name).stem for name in names if "plots" in Path(name).parts and name.endswith(".csv")
    )


def _asked(method: str, url: str, token: str, body: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310  # GitHub's own address, from its environment
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"GitHub answers {error.code} to {method}") from error


if __name__ == "__main__":
    raise SystemExit(main())
