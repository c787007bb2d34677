"""A folder of its own for each further dataset card, in which the same pipeline runs.

What the default card made stays as it is, its `dvc.lock` with it: the folder has its own
`dvc.yaml`, `dvc.lock`, data and results, and shares code, cards, parameters and DVC's cache with
the project.
"""

from __future__ import annotations

import os
from pathlib import Path

from fraudloop import files, params
from fraudloop.dataset import card as cards
from fraudloop.errors import ProjectError

FOLDER = Path("runs")
PARAMETERS = Path("ml/params")
# What the folder shares with the project: a link says so, a copy would grow old.
SHARED = ("src", "ml/datasets", ".dvc/plots")
CONFIG = """\
[core]
    analytics = false
    no_scm = true
[cache]
    dir = {up}/.dvc/cache
"""


def prepare(project: Path, card: str) -> Path:
    """Have `runs/<card>` ready for `dvc repro`, and give its path; what it already holds stays."""
    own = project / PARAMETERS / f"{card}.yaml"
    if not own.is_file():
        known = ", ".join(each.stem for each in sorted((project / PARAMETERS).glob("*.yaml")))
        raise ProjectError(
            f"no parameters at {own}: use one of {known or 'none'}, or write them "
            "(docs/datasets.md)"
        )
    default, wanted = params.load(project / "params.yaml"), params.load(own)
    # A card that is not right is better said now than by the first stage.
    cards.load(project / wanted.paths.card)
    folder = project / FOLDER / card
    for name in SHARED:
        _link(folder / name, project / name)
    _link(folder / "params.yaml", own)
    up = os.path.relpath(project, folder)
    _write(folder / ".dvc/config", CONFIG.format(up=f"../{up}"))
    _write(folder / ".dvcignore", (project / ".dvcignore").read_text(encoding="utf-8"))
    pipeline = (project / "dvc.yaml").read_text(encoding="utf-8")
    # DVC fills in parameters everywhere but in plots; and commands are the project's own.
    pipeline = pipeline.replace(str(default.paths.output), str(wanted.paths.output))
    pipeline = pipeline.replace('PATH="$PWD/.venv/bin', f'PATH="$PWD/{up}/.venv/bin')
    _write(folder / "dvc.yaml", pipeline)
    return folder


def _link(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(to, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    if link.exists() and not link.is_symlink():
        raise ProjectError(f"{link} is not the link that it should be: move it away")
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _write(path: Path, text: str) -> None:
    """Write a file unless it says so already: DVC asks when it was changed."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_bytes(path, text.encode())
