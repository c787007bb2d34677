"""Spark from the command line: what is missing is said in a sentence, Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fraudloop.batch.spark_session import reason_of
from fraudloop.model import bundle as bundles
from tests.fitted import ROOT, bundle_of, card, start_python, unseen
from tests.spark import MASTER, require_spark

PATIENCE = 240.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    bundles.save(folder, bundle_of("boosted_trees"))
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many files that no machine is through with them at once."""
    folder = tmp_path_factory.mktemp("many")
    first = folder / "0.csv"
    unseen()[list(card().columns)].head(500).to_csv(first, index=False)
    for place in range(1, 600):
        os.link(first, folder / f"{place}.csv")
    return folder


def command(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """The command, in a process group of its own, as a terminal has it."""
    return subprocess.Popen(
        [sys.executable, "-m", "fraudloop", *(str(each) for each in arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def started_by(process: subprocess.Popen[str], awaited: str) -> list[psutil.Process]:
    """Everything that a command has started, once what is awaited is among it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            try:
                if awaited in " ".join(child.cmdline()):
                    return children
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    raise AssertionError(f"no {awaited} was started")


# While the JVM starts, and while Python workers decide.
@pytest.mark.parametrize("awaited", ["org.apache.spark.deploy", "pyspark.daemon"])
def test_ctrl_c_leaves_one_sentence_and_nothing_else(
    bundle: Path, inputs: Path, tmp_path: Path, awaited: str
) -> None:
    require_spark()
    output = tmp_path / "out.csv"
    process = command(
        "batch", inputs, output, "--bundle", bundle, "--engine", "spark", "--master", MASTER
    )
    try:
        started = started_by(process, awaited)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of its group
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert err == "fraudloop: interrupted; what stood before still stands\n"
    assert (out, process.returncode) == ("", 130)
    assert not output.exists()
    _, alive = psutil.wait_procs(started, timeout=PATIENCE)
    assert alive == []


def test_without_pyspark_it_names_what_installs_it(bundle: Path, inputs: Path) -> None:
    code = (
        "import sys; sys.modules['pyspark'] = None; from fraudloop import cli; "
        "sys.argv[0] = 'fraudloop'; cli.main()"
    )
    output = inputs.parent / "out.csv"
    process = start_python(code, "batch", inputs, output, "--bundle", bundle, "--engine", "spark")
    _, err = process.communicate(timeout=PATIENCE)
    assert err == "fraudloop: pyspark is not installed: run `make install EXTRAS=spark`\n"
    assert process.returncode == 1
    assert not output.exists()


@pytest.mark.parametrize("home", ["", "/nowhere"])
def test_without_java_it_says_what_to_install(bundle: Path, inputs: Path, home: str) -> None:
    pytest.importorskip("pyspark")
    output = inputs.parent / "out.csv"
    process = command(
        "batch",
        inputs / "0.csv",
        output,
        "--bundle",
        bundle,
        "--engine",
        "spark",
        JAVA_HOME=home,
        PATH="",
    )
    _, err = process.communicate(timeout=PATIENCE)
    assert err.startswith("fraudloop: Spark needs Java 17 or newer, and there is none ")
    assert "JAVA_HOME" in err
    assert err.count("\n") == 1
    assert process.returncode == 1


def test_of_a_workers_traceback_the_last_line_is_told() -> None:
    said = (
        "Job aborted due to stage failure: Lost task 0.0\n"
        "Traceback (most recent call last):\n"
        '  File "worker.py", line 1, in main\n'
        "    process()\n"
        "FileNotFoundError: [Errno 2] No such file: 'in.csv'\n"
    )
    assert reason_of(RuntimeError(said)) == "FileNotFoundError: [Errno 2] No such file: 'in.csv'"
    assert reason_of(RuntimeError()) == "RuntimeError"
