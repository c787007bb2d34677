"""A Spark session: started quietly, on loopback where it is local, and ended without a word.

PySpark speaks on stderr where it is not asked: its JVM logs there, its Python warns there, and at
Ctrl-C both print stack traces. So the JVM has a log file for its stderr and a process group of its
own, which Ctrl-C does not reach; after an interruption it is killed, not asked to stop.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fraudloop.errors import SparkError
from fraudloop.settings import Spark, for_spark

LOCAL = "local[*]"
LOOPBACK = "127.0.0.1"
# What makes a local JVM start in two thirds of the time; it lives for minutes, not for months.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
# In force where neither a file of Spark's nor the environment says otherwise.
USUAL = {
    "spark.app.name": "fraudloop",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.driver.maxResultSize": "0",  # what comes back is read piece by piece
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
LONGEST_REASON = 300


@contextmanager
def spark_session(master: str, settings: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Have a session on a master, and nothing left of it afterwards."""
    _require_pyspark()
    local = master.startswith("local")
    _require_java()
    with tempfile.TemporaryDirectory(prefix="fraudloop-spark-") as folder, quiet():
        log = Path(folder) / "log"
        gateway = None
        ended_well = False
        try:
            with for_spark(sys.executable, local=local):
                gateway = _gateway(log, local)
                session = _session(gateway, master, dict(settings or {}), log)
            yield session
            session.stop()
            ended_well = True
        finally:
            _end(gateway, kindly=ended_well)


def reason_of(error: BaseException) -> str:
    """What went wrong, of the many lines that Spark says of it.

    >>> reason_of(ValueError("Traceback (most recent call last):\\n  File x\\nKeyError: 'a'\\n"))
    "KeyError: 'a'"
    """
    java = getattr(error, "java_exception", None)
    text = str(error)
    if java is not None:
        with suppress(Exception):  # the JVM that it stands for may be gone
            text = str(java.getMessage())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A worker's own traceback ends with the line that tells.
    for place, line in enumerate(lines):
        if line.startswith("Traceback (most recent call last)"):
            inner = lines[place + 1 :]
            told = (each for each in inner if not each.startswith(("File ", "^", "~")))
            ends = next((each for each in told if ": " in each), None)
            if ends is not None:
                return ends[:LONGEST_REASON]
    return (lines[0] if lines else type(error).__name__)[:LONGEST_REASON].rstrip(". ")


def _require_pyspark() -> None:
    from importlib.util import find_spec

    if find_spec("pyspark") is None:
        raise SparkError("pyspark is not installed: run `make install EXTRAS=spark`")


def _require_java() -> None:
    java = Spark.read().java
    if java is None or not Path(java).is_file():
        where = "on the PATH" if java is None else f"at {java} (JAVA_HOME)"
        raise SparkError(
            f"Spark needs Java 17 or newer, and there is none {where}: install one "
            "(Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17), "
            "or set JAVA_HOME"
        )


def _gateway(log: Path, local: bool) -> Any:
    """Start the JVM."""
    from pyspark import SparkConf
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway

    conf = SparkConf(loadDefaults=False)
    if local:  # these must be known before the JVM is there
        conf.set("spark.driver.extraJavaOptions", QUICK_JVM)
        conf.set("spark.driver.bindAddress", LOOPBACK)
        conf.set("spark.driver.host", LOOPBACK)
    try:
        with log.open("wb") as output, _not_left_alone():
            popen = {"stdout": output, "stderr": output, "start_new_session": True}
            return launch_gateway(conf, popen)
    except PySparkRuntimeError as error:
        said = log.read_text(encoding="utf-8", errors="replace")
        if "UnsupportedClassVersionError" in said:
            raise SparkError(
                "Spark needs Java 17 or newer, and found an older one: set JAVA_HOME to a newer"
            ) from error
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = lines[-1][:LONGEST_REASON].rstrip(". ") if lines else "it said nothing"
        raise SparkError(
            f"Spark's JVM ended as it started ({last}): mend Spark's settings, and try again"
        ) from error


@contextmanager
def _not_left_alone() -> Iterator[None]:
    """Kill a JVM whose start is interrupted: PySpark forgets it, and it would wait for ever."""
    from pyspark import java_gateway

    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            started.append(self)

    java_gateway.Popen = Noted
    try:
        yield
    except BaseException:
        for process in started:
            _kill(process)
        raise
    finally:
        java_gateway.Popen = subprocess.Popen


def _session(gateway: Any, master: str, settings: dict[str, str], log: Path) -> Any:
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    interrupted = signal.getsignal(signal.SIGINT)
    try:
        conf = SparkConf(_jvm=gateway.jvm)  # with what spark-defaults.conf says
        conf.setMaster(master)
        for name, value in {**USUAL, **settings}.items():
            conf.setIfMissing(name, value)
        context = SparkContext(conf=conf, gateway=gateway)
        context.setLogLevel("ERROR")
        return SparkSession(context)
    except (Py4JError, PySparkException, OSError) as error:
        raise SparkError(
            f"no Spark session on {master} ({reason_of(error)}): name another --master, "
            f"{LOCAL} for this machine"
        ) from error
    finally:
        # PySpark's own handler would first ask the JVM to cancel everything, and wait for it.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupted)


def _end(gateway: Any, *, kindly: bool) -> None:
    """End the JVM and its Python workers: they end when it closes the pipe to them."""
    if gateway is None:
        return
    process: subprocess.Popen[bytes] = gateway.proc
    if kindly:
        with suppress(Exception):
            gateway.shutdown()
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    _kill(process)
    if not kindly:
        with suppress(Exception):
            gateway.shutdown()
    _forget()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a JVM and its session, whatever state it is in."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _forget() -> None:
    """Let PySpark believe that there was no session, so that another may follow in this process."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    context = SparkContext._active_spark_context
    if context is not None:
        server = getattr(context, "_accumulatorServer", None)
        if server is not None:
            with suppress(Exception):
                server.shutdown()
            context._accumulatorServer = None
        context._jsc = None
    SparkContext._active_spark_context = None
    SparkContext._gateway = None
    SparkContext._jvm = None
    SparkSession._instantiatedSession = None
    SparkSession._activeSession = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what PySpark, py4j and XGBoost say of themselves off stderr."""
    names = ("py4j", "pyspark", "XGBoost-PySpark", "SparkXGBClassifier", "XGBoostPySpark")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    silent = logging.NullHandler()
    for logger, _ in before:
        logger.setLevel(logging.CRITICAL + 1)
        logger.addHandler(silent)
    # Of an interruption py4j tells by the root logger, which prints where nobody handles it.
    root = logging.getLogger()
    root.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
            logger.removeHandler(silent)
        root.removeHandler(silent)
