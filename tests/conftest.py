"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

from fraudloop.settings import let_idle_threads_sleep

# Before anything loads OpenMP, as the command line does: tests share their cores with others.
let_idle_threads_sleep()

# A slow machine fails nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
