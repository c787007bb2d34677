"""Every command: parse, call one library function, print. Errors become one sentence, here."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop import __version__
from fraudloop.errors import CardError, FraudloopError, ParamsError, SettingsError, UsersError
from fraudloop.settings import let_idle_threads_sleep

if TYPE_CHECKING:
    from fraudloop.params import Params

# Heavy imports stand inside the commands: `fraudloop --help` answers before they would be loaded.

EXIT_CODES: dict[type[FraudloopError], int] = {
    ParamsError: 2,
    SettingsError: 2,
    CardError: 2,
    FraudloopError: 1,
}
USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="fraudloop",
    help="Card fraud, from a table of transactions to decisions. `dvc repro` runs the stages.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
STAGES = "Stages, in the order of dvc.yaml"
EXPERIMENTS = "Experiments"
DECISIONS = "Decisions"
USERS = "Users"
BUNDLE = typer.Option(help="A bundle; the pipeline's own if left out.")
SHA256 = typer.Option(help="What the bundle's manifest must be.")


def main() -> None:
    """Run a command; what it refuses is one sentence on stderr and an exit code."""
    let_idle_threads_sleep()
    try:
        code = app(standalone_mode=False)
    except FraudloopError as error:
        _say(f"fraudloop: {error}")
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except typer.TyperException as error:  # an option or an argument
        reason = " ".join(error.format_message().split()).rstrip(".")
        _say(f"fraudloop: {reason}: see `fraudloop --help`")
        code = error.exit_code
    except OSError as error:  # a full disk, a folder that may not be written to
        _say(f"fraudloop: {error.filename or 'a file'} cannot be used ({error.strerror})")
        code = EXIT_CODES[FraudloopError]
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer tells of it by the code alone
        _say("fraudloop: interrupted; what stood before still stands")
    sys.exit(code)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Say the version, or go on to the command."""
    if version:
        typer.echo(f"fraudloop {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)


@app.command("get-data", rich_help_panel=STAGES)
def get_data() -> None:
    """Fetch the raw file from where params.yaml says: synthetic, kaggle, file or url."""
    from fraudloop import progress, stages
    from fraudloop.settings import Settings

    fetched = stages.get_data(_params(), Settings.read(), _say, progress.on_terminal())
    _say(f"{fetched.path}: {fetched.bytes:,} bytes, md5 {fetched.md5}")


@app.command(rich_help_panel=STAGES)
def preprocess() -> None:
    """Check the raw file against its dataset card, and divide it in two ways."""
    from fraudloop import stages

    report = stages.preprocess(_params())
    _say(
        f"{report['rows']:,} rows, {report['frauds']:,} frauds, {report['duplicates']:,} duplicates"
    )


@app.command(rich_help_panel=STAGES)
def train(
    sampler: Annotated[str, typer.Option(help="A sampler of params.yaml.")],
    estimator: Annotated[str, typer.Option(help="An estimator of params.yaml.")],
) -> None:
    """Fit one candidate, sampler × estimator, on the training rows."""
    from fraudloop import stages

    _say(f"fitted {stages.train(_params(), sampler, estimator)}")


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Choose champion and threshold on validation rows, and judge them on the test rows."""
    from fraudloop import evaluation

    metrics = evaluation.evaluate(_params())
    test = metrics["test"]
    span = test["interval"]["average_precision"]
    on = "synthetic data" if metrics["dataset"]["synthetic"] else metrics["dataset"]["id"]
    _say(
        f"champion {metrics['champion']}: average precision {test['average_precision']:.3f} "
        f"({span['low']:.3f} to {span['high']:.3f}) on the test rows of {on}"
    )


@app.command(rich_help_panel=STAGES)
def package() -> None:
    """Compile the champion, hold it against the original, and write the bundle."""
    from fraudloop import stages

    bundle = stages.package(_params())
    _say(f"model {bundle.version} ({bundle.manifest.candidate}), manifest sha256 {bundle.sha256}")


@app.command(rich_help_panel=EXPERIMENTS)
def tune(
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="<sampler>-<estimator>, may be repeated; all of params.yaml if left out."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="For all candidates together; 10 if left out.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Of each candidate, instead: the same ones every time.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the trials made before.")] = False,
) -> None:
    """Search better parameters of candidates, and print the lines of params.yaml to keep."""
    from fraudloop import tuning

    kept = tuning.tune(
        _params(), candidate or [], minutes=minutes, trials=trials, fresh=fresh, say=_say
    )
    typer.echo(kept, nl=False)


@app.command(rich_help_panel=DECISIONS)
def predict(
    transactions: Annotated[Path, typer.Argument(help="JSON, in any dialect of POST /predict.")],
    bundle: Annotated[Path | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    server: Annotated[
        str | None, typer.Option(help="Ask this server instead: http://127.0.0.1:8080.")
    ] = None,
) -> None:
    """Score a few transactions of a file, and print the answer as JSON."""
    from fraudloop import decisions

    if server is not None:
        answer = decisions.asked_of(server, transactions)
    else:
        answer = decisions.made_here(transactions, bundle or _params().paths.output, sha256)
    typer.echo(json.dumps(answer, indent=2))


@app.command(rich_help_panel=DECISIONS)
def serve(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    bundle: Annotated[Path | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
) -> None:
    """Answer over HTTP: /predict and its dialects, /docs, /metrics (docs/api.md)."""
    from fraudloop.serving.options import Options
    from fraudloop.serving.server import serve
    from fraudloop.settings import Serving

    directory = bundle or _params().paths.output
    serve(host, port, Options(directory, sha256, workers, Serving.read()))


users_app = typer.Typer(name="users", help="Who may do what on the server.", no_args_is_help=True)
app.add_typer(users_app, rich_help_panel=USERS)
UsersPath = Annotated[
    Path | None, typer.Option("--file", help="The users file; FRAUDLOOP_USERS if left out.")
]


@users_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Letters, digits, and . _ @ - inside.")],
    role: Annotated[list[str], typer.Option(help="scorer, analyst, operator, admin; repeatable.")],
    file: UsersPath = None,
) -> None:
    """Add a user; the password is asked for, or read from stdin when that is no terminal."""
    from fraudloop import users

    path = _users_path(file)
    users.add(path, name, _new_password(), role)
    _say(f"{path}: added {name}")


@users_app.command("list")
def list_users(file: UsersPath = None) -> None:
    """Print every user with the roles it has."""
    from fraudloop import users

    for name, user in sorted(users.load(_users_path(file)).items()):
        typer.echo(f"{name}\t{', '.join(sorted(user.roles))}")


@users_app.command("remove")
def remove_user(
    name: Annotated[str, typer.Argument(help="As `fraudloop users list` prints it.")],
    file: UsersPath = None,
) -> None:
    """Remove a user, who is refused from then on."""
    from fraudloop import users

    path = _users_path(file)
    users.remove(path, name)
    _say(f"{path}: removed {name}")


def _users_path(file: Path | None) -> Path:
    from fraudloop.settings import Serving

    path = file or Serving.read().users
    if path is None:
        raise UsersError("no users file is named: give --file, or set FRAUDLOOP_USERS")
    return path


def _new_password() -> str:
    """Ask twice on a terminal; take the line that a program sends."""

    if sys.stdin.isatty():
        try:
            return str(
                typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
            )
        except typer.Abort:  # Ctrl-C at the prompt
            raise KeyboardInterrupt from None
    with suppress(UnicodeDecodeError):
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    raise UsersError("the password on stdin is not text: send it in UTF-8")


def _params() -> Params:
    from fraudloop import params

    return params.load()


def _say(sentence: str) -> None:
    """Say how it went on stderr: stdout is for what a command was asked to print."""
    typer.echo(sentence, err=True)
