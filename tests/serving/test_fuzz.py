"""Twenty thousand bodies, each wrong in its way: all are answered, soon and in a sentence."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.serving.running import (
    JSON,
    Answer,
    Client,
    HungUpError,
    as_body,
    request,
    running,
    transactions,
)

MALFORMED = 20_000
WARM_UP = 2_000
CONNECTIONS = 4
SECONDS = 5.0  # for one answer, on a busy machine too
GROWTH = 30_000_000
SEED = 20_2611
LONGEST_SENTENCE = 400
ALLOWED = {200, 400, 404, 413, 415, 422}

ROWS = transactions(5)
NAMES = list(ROWS[0])
ATR = {f"Atr{place}": value for place, value in enumerate(ROWS[0].values(), start=1)}
SHAPES = (
    ROWS[0],
    {**ROWS[1], "id": "a", "Class": 0},
    ROWS,
    [{**row, "id": place} for place, row in enumerate(ROWS)],
    {"features": [list(row.values()) for row in ROWS]},
    {"features": list(ROWS[0].values())},
    {"columns": NAMES, "index": [1, 2], "data": [list(row.values()) for row in ROWS[:2]]},
    {str(place): row for place, row in enumerate(ROWS)},
    {"a": ATR},
)
VALID = tuple(map(as_body, SHAPES))
STRANGE = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "true",
        "false",
        "{}",
        "[]",
        "[[]]",
        '""',
        "-",
        "--1",
    ),
    *("1e400", "-1e400", "1e-400", "1e38", "3.5e38", "0x10", "01", "1.", ".5", "+1", "1_000", "-0"),
    *(
        '"1.5"',
        '"\\ud800"',
        '"\\udc00x"',
        '"\\u0000"',
        '"\\x"',
        "'a'",
        "nan",
        "None",
        "1,",
        ":",
        "/**/1",
    ),
    *(
        "9" * 400,
        "1" + "0" * 5000,
        "0." + "1" * 5000,
        "1e" + "9" * 30,
        '{"a":{"b":{}}}',
        '"\U0001f600"',
    ),
    *(
        '"' + "x" * 5000 + '"',
        '{"Time": 1, "Time": 2}',
        '{"\\ud800": 1, "\\ud800": 2}',
        "[" * 50 + "]" * 50,
        '"\\ud83d\\ude00"',
        "\x00",
    ),
)
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037", "cp500")
TYPES = (
    *(
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        ";",
    ),
    *("application/json; charset=utf-16", "application/json; charset=", "application/xml", "json"),
    *(
        "application/json;" * 40,
        "a/b" * 2000,
        "application/vnd.x+json",
        "\xff\xfe",
        "application/JSON",
    ),
)
PATHS = ("/predict",) * 6 + (
    "/invocations",
    "/invocations",
    "/predict_fraud",
    "/predict?explain=true",
)
QUERIES = (
    *(
        "explain=maybe",
        "explain=1&top=0",
        "top=" + "9" * 900,
        "top=-1",
        "top=\xc2\xb2",
        "=",
        "&&&",
        "a",
    ),
    *(
        "%",
        "%zz",
        "%00",
        "%ff%fe",
        "explain=%F0%9F%98%80",
        "x=" * 1500,
        "explain=true&explain=true",
    ),
    *(
        "top=1e3",
        "top=%D9%A1",
        "+",
        "?" * 100,
        "Time=1",
        "explain=&top=",
        "a" * 5000,
        "%0A%0D",
        ";",
    ),
)

Random = random.Random
Mutation = Callable[[Random, bytes], bytes]


def flip(chance: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def truncate(chance: Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body))]


def repeat(chance: Random, body: bytes) -> bytes:
    start, stop = sorted(chance.randrange(len(body)) for _ in range(2))
    return body[:stop] + body[start:]


def leave_out(chance: Random, body: bytes) -> bytes:
    start = chance.randrange(len(body))
    return body[:start] + body[start + chance.randint(1, 30) :]


def twice(chance: Random, body: bytes) -> bytes:
    """The same field again, or something that looks like it."""
    name = chance.choice(NAMES)
    other = chance.choice((name, name.lower(), f"{name} ", f" {name}", f"{name}\\u0000"))
    return body.replace(b"{", f'{{"{other}": 1, '.encode(), 1)


def put_in(chance: Random, body: bytes) -> bytes:
    """Something strange where a value was."""
    parts = body.split(b", ")
    place = chance.randrange(len(parts))
    before, colon, _ = parts[place].rpartition(b": ")
    parts[place] = before + colon + chance.choice(STRANGE).encode()
    return b", ".join(parts)


def nest(chance: Random, body: bytes) -> bytes:
    deep = chance.choice((3, 900, 1100, 30_000))
    opened, closed = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"Time":', b"}]")))
    return opened * deep + chance.choice((b"", b"1", body)) + closed * chance.choice((deep, 0))


def encode(chance: Random, body: bytes) -> bytes:
    return body.decode(errors="replace").encode(chance.choice(ENCODINGS), errors="replace")


def noise(chance: Random, body: bytes) -> bytes:
    return chance.randbytes(chance.randint(0, 2000))


def surround(chance: Random, body: bytes) -> bytes:
    around = (
        b"\x00",
        b"\xef\xbb\xbf",
        b" \n\t" * 500,
        b",",
        b"}",
        b"null",
        b"\xff",
        b"\xed\xa0\x80",
    )
    return chance.choice(around) + body + chance.choice(around)


def rename(chance: Random, body: bytes) -> bytes:
    long = "x" * chance.choice((1, 300, 3000))
    new = chance.choice(
        ("", "v1", "\\n\\r\\u2028", "\\ud800", "__class__", "features", "data", long)
    )
    return body.replace(b'"%s"' % chance.choice(NAMES).encode(), f'"{new}"'.encode())


def reshape(chance: Random, body: bytes) -> bytes:
    """The wrong type at the top, or where a dialect wants another."""
    made = json.loads(chance.choice((*STRANGE[:10], "1", '"a"', "[1]"))) if body else None
    key = chance.choice(("features", "columns", "data", "index", "a"))
    tops = (made, [made], {key: made}, {"features": [[made] * 30]}, {key: [[made]], "data": [made]})
    return as_body(
        chance.choice((*tops, {**ROWS[0], key: made}, [ROWS[0], made], {"a": ROWS[0], key: made}))
    )


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, flip, truncate, repeat, leave_out, twice, put_in, put_in, put_in),
    *(nest, encode, noise, surround, rename, rename, reshape, reshape),
)


def asked(chance: Random) -> bytes:
    """A request that is wrong in one way, in two, or only looks as if it were."""
    body = chance.choice(VALID)
    for _ in range(1 if chance.random() < 0.8 else 2):
        body = chance.choice(MUTATIONS)(chance, body or b" ")
    path, head, kind = chance.choice(PATHS), JSON, chance.random()
    if kind < 0.03:
        head = f"Content-Type: {chance.choice(TYPES)}\r\n"
    elif kind < 0.05:
        head = chance.choice(("", "Content-Encoding: gzip\r\n", "Accept: nothing/at-all\r\n"))
    elif kind < 0.10:
        path = f"/predict?{chance.choice(QUERIES)}"
    elif kind < 0.16:
        return request("GET", f"/predict?{query(chance)}", b"", "")
    elif kind < 0.18:
        path = f"/{quote(chance.randbytes(chance.randint(1, 60)))}"
    return request("POST", path, body, head)


def query(chance: Random) -> str:
    fields: list[tuple[str, object]] = list(ROWS[0].items())
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(fields))
        fields[place] = (fields[place][0], chance.choice(STRANGE))
    if chance.random() < 0.3:
        fields.append(chance.choice(fields))
    text = urlencode(fields)
    if chance.random() < 0.3:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(QUERIES) + text[place:]
    return text


def fault(answer: Answer) -> str | None:
    """What an answer has that none may have."""
    if answer.status not in ALLOWED:
        return f"status {answer.status}"
    try:
        said = json.loads(answer.content)
    except ValueError:
        return "it is no JSON"
    if answer.status == 200:
        scores = said.get("scores", [])
        return None if all(0 <= score <= 1 for score in scores) else "a score beyond 0 to 1"
    if set(said) != {"error", "detail"} or not isinstance(said["detail"], list):
        return "another shape"
    sentence = said["error"]
    if not 0 < len(sentence) < LONGEST_SENTENCE or not sentence.isprintable():
        return f"{len(sentence)} characters, or one that cannot be printed"
    return "longer than it was worth" if len(answer.content) > 60_000 else None


def rounds(many: int, chance: Random) -> Iterator[list[bytes]]:
    for _ in range(many // CONNECTIONS):
        yield [asked(chance) for _ in range(CONNECTIONS)]


def send(port: int, many: int, chance: Random) -> tuple[Counter[int], list[str]]:
    """Send so many, and tell which statuses came, and of which requests the answer was wrong."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    clients = [Client(port, timeout=SECONDS) for _ in range(CONNECTIONS)]
    try:
        for requests in rounds(many, chance):
            for client, content in zip(clients, requests, strict=True):
                client.send(content)
            for place, content in enumerate(requests):
                try:
                    answer = clients[place].answer()
                except HungUpError:  # with the answer before, that said nothing of it
                    wrong.append(f"hung up before {content[:3000]!r}")
                    return statuses, wrong
                if answer.closes:  # what was no HTTP at all
                    clients[place].close()
                    clients[place] = Client(port, timeout=SECONDS)
                statuses[answer.status] += 1
                if said := fault(answer):
                    wrong.append(f"{said}: {content[:3000]!r} → {answer.content[:500]!r}")
    finally:
        for client in clients:
            client.close()
    return statuses, wrong


def test_of_20_000_malformed_bodies_none_fails_hangs_or_is_kept(ran: Path, tmp_path: Path) -> None:
    chance = Random(SEED)
    with running(tmp_path / "log", ran / "output") as server:
        before = server.ask("POST", "/predict", VALID[2]).json
        warm, wrong = send(server.port, WARM_UP, chance)
        assert wrong == []
        memory = server.measured("process_resident_memory_bytes")
        statuses, wrong = send(server.port, MALFORMED, chance)
        assert wrong == []
        assert server.measured("process_resident_memory_bytes") - memory < GROWTH
        after = server.ask("POST", "/predict", VALID[2]).json
        assert math.isclose(sum(before["scores"]), sum(after["scores"]), abs_tol=1e-6)
        assert before == after
        assert len(server.events("ready")) == 1
        answered = statuses + warm
        for status in (200, 400, 404, 415, 422):
            assert answered[status] > 0, f"{status} was never met"
        assert answered[400] + answered[422] > 0.6 * answered.total()
