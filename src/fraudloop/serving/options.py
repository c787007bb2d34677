"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fraudloop.settings import Serving


@dataclass(frozen=True)
class Options:
    """What a server is started with; it goes to every worker as it is."""

    bundle: Path
    sha256: str | None = None
    workers: int = 1
    settings: Serving = field(default_factory=Serving)
