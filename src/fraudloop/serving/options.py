"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field

from fraudloop.lifecycle.following import Place
from fraudloop.settings import Keeping, Serving


@dataclass(frozen=True)
class Options:
    """What a server is started with; it goes to every worker as it is."""

    bundle: Place
    sha256: str | None = None
    workers: int = 1
    shadow: Place | None = None
    ledger: str = field(default=Keeping().url, repr=False)
    settings: Serving = field(default_factory=Serving)
