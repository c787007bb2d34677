"""A raw CSV is read rightly, or is one sentence that names its file, its line and its column."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.card import parse
from fraudloop.dataset.checks import validate
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.reading import is_number, line_of, read_csv, read_header
from fraudloop.errors import DataError
from tests.dataset.tables import checked, market, purchases, quicker, thorough, with_both, written

CUPS = parse(
    """
id: cups
title: Cups
columns: {at: {kind: time, minimum: 0}, price: {kind: numeric, minimum: 0}}
label: {column: stolen}
""",
    "cups.yaml",
)
HEAD = "at,price,stolen\n"
GOOD = HEAD + "0,1,0\n5,2.5,1\n"  # lines 1 to 3: what is put behind it stands on line 4
READ = {"at": [0.0, 5.0], "price": [1.0, 2.5], "stolen": [0, 1]}


def through(path: Path, content: str | bytes) -> pd.DataFrame:
    """Read and validate: together they promise that nothing wrong gets past."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return validate(read_csv(path, CUPS), CUPS, path)


def refusal(folder: Path, content: str | bytes) -> str:
    """What is said of `content`, without the file's name, which it must begin with."""
    path = folder / "cups.csv"
    with pytest.raises(DataError) as caught:
        through(path, content)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "np." not in message
    return message.removeprefix(str(path))


def with_crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


FIT = {
    "as it should be": GOOD,
    "without a last line break": GOOD.rstrip("\n"),
    "with CRLF": with_crlf(GOOD),
    "with CR, as old Macs had it": GOOD.replace("\n", "\r"),
    "with a BOM": b"\xef\xbb\xbf" + GOOD.encode(),
    "with a BOM and a quoted header": b'\xef\xbb\xbf"at","price","stolen"\n0,1,0\n5,2.5,1\n',
    "with a quoted header and quoted labels": '"at","price","stolen"\n0,1,"0"\n5,2.5,"1"\n',
    "with everything quoted": '"at","price","stolen"\n"0","1","0"\n"5","2.5","1"\n',
    "with blank lines": "\n" + GOOD.replace("\n", "\n\n") + "\n\n",
    "with blank lines and CRLF": with_crlf(GOOD.replace("\n", "\n\n")),
    "in another order": "stolen,price,at\n0,1,0\n1,2.5,5\n",
    "with extra columns": "who,at,price,why,stolen,\nann,0,1,,0,\nbob,5,2.5,x,1,\n",
    "with an extra column in another encoding": b"at,price,stolen,who\n0,1,0,\xe9\n5,2.5,1,b\n",
    "with a break inside an extra field": 'at,who,price,stolen\n0,"a\nb",1,0\n5,c,2.5,1\n',
    "with labels as numbers": HEAD + "0,1,0.0\n5,2.5,1.0\n",
    "with blanks about the values": HEAD + " 0, 1 ,0 \n 5,2.5, 1\n",
    "in other notations": HEAD + "0e0,+1,0\n5.,.25e1,1\n",
}


@pytest.mark.parametrize("content", FIT.values(), ids=FIT.keys())
def test_a_table_is_read_rightly(tmp_path: Path, content: str | bytes) -> None:
    table = through(tmp_path / "cups.csv", content)
    assert table.to_dict("list") == READ
    assert [str(kind) for kind in table.dtypes] == ["float64", "float64", "int8"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e+05", 100000.0), ("172792", 172792.0), ("4e-05", 0.00004), ("0.1", 0.1), ("-0", 0.0)],
)
def test_a_time_in_any_notation_is_that_number(tmp_path: Path, text: str, value: float) -> None:
    table = through(tmp_path / "cups.csv", f"{GOOD}{text},1,0\n")
    assert table["at"].tolist() == [0.0, 5.0, value]


SPOILT: dict[str, tuple[str | bytes, str]] = {
    "a column missing": ("at,stolen\n0,0\n5,1\n", ", line 1: no column 'price': add"),
    "the label missing": ("at,price\n0,1\n5,2\n", ", line 1: no column 'stolen': add"),
    "a header in capitals": ("AT,PRICE,stolen\n0,1,0\n", ", line 1: no column 'at' (nor 1 more"),
    "a header below blank lines": ("\n\nat,stolen\n", ", line 3: no column 'price'"),
    "no header": ("0,1,0\n5,2.5,1\n", ", line 1: no column 'at' (nor 2 more"),
    "two columns of one name": (
        "at,price,price,stolen\n",
        ", line 1: two columns are named 'price'",
    ),
    "empty": ("", " is empty"),
    "blank": ("\n\r\n\n", " is empty"),
    "a BOM alone": (b"\xef\xbb\xbf", " is empty"),
    "header only": (HEAD, " has a header but no rows"),
    "header only, without a line break": (HEAD.strip(), " has a header but no rows"),
    "header and blank lines": (HEAD + "\n\n", " has a header but no rows"),
    "semicolons": (GOOD.replace(",", ";"), ", line 1: separated by semicolons"),
    "semicolons about quotes": ('"at";"price";"stolen"\n', ", line 1: separated by semicolons"),
    "tabs": (GOOD.replace(",", "\t"), ", line 1: separated by tabs"),
    "bars": (GOOD.replace(",", "|"), ", line 1: separated by bars"),
    "bars below a blank line": ("\n" + GOOD.replace(",", "|"), ", line 2: separated by bars"),
    "text in a number": (GOOD + "7,dear,0\n", ", line 4: column 'price' holds 'dear', which is no"),
    "text in a time": (GOOD + "now,1,0\n", ", line 4: column 'at' holds 'now', which is no number"),
    "text after blank lines": (HEAD + "\n0,1,0\n\n\n5,x,1\n", ", line 6: column 'price' holds 'x'"),
    "text, with CRLF": (with_crlf(GOOD + "\n7,x,0\n"), ", line 5: column 'price' holds 'x'"),
    "text, with CR": ((GOOD + "7,x,0\n").replace("\n", "\r"), ", line 4: column 'price' holds"),
    "text, with a BOM": (b"\xef\xbb\xbf" + (GOOD + "7,x,0").encode(), ", line 4: column 'price'"),
    "text in another order": ("stolen,price,at\n0,x,1\n", ", line 2: column 'price' holds 'x'"),
    "text beside a long extra column": (
        'at,price,stolen,note\n0,1,0,"a\nb\nc"\n5,x,1,d\n',
        ", line 5: column 'price' holds 'x'",
    ),
    "a number with a decimal comma": (GOOD + '7,"1,5",0\n', ", line 4: column 'price' holds '1,5'"),
    "a decimal comma unquoted": (GOOD + "7,1,5,0\n", ", line 4: 4 fields where the header has 3"),
    "a number as Python writes it": (GOOD + "7,1_000,0\n", ", line 4: column 'price' holds '1_0"),
    "a number in other digits": (GOOD + "7,٣,0\n", ", line 4: column 'price' holds '٣'"),
    "a number in hexadecimal": (GOOD + "7,0x10,0\n", ", line 4: column 'price' holds '0x10'"),
    "a word for nothing": (GOOD + "7,NA,0\n", ", line 4: column 'price' holds 'NA'"),
    "a number with a break": (GOOD + '7,"1\n",0\n', r", line 4: column 'price' holds '1\n', which"),
    "a blank for nothing": (GOOD + '7," ",0\n', ", line 4: column 'price' holds ' '"),
    "the header again": (GOOD + HEAD + "7,1,0\n", ", line 4: column 'at' holds 'at'"),
    "a missing number": (GOOD + "7,,0\n", ", line 4: column 'price' has no value"),
    "a missing number, quoted": (GOOD + '7,"",0\n', ", line 4: column 'price' has no value"),
    "a missing time": (GOOD + ",1,0\n", ", line 4: column 'at' has no value"),
    "a missing label": (GOOD + "7,1,\n", ", line 4: column 'stolen' has no value"),
    "nan": (GOOD + "7,nan,0\n", ", line 4: column 'price' has no value"),
    "inf": (GOOD + "7,inf,0\n", ", line 4: column 'price' holds inf, which is out of range"),
    "-inf": (GOOD + "7,-inf,0\n", ", line 4: column 'price' holds -inf, which is out of range:"),
    "too large for any float": (GOOD + "7,1e400,0\n", ", line 4: column 'price' holds inf"),
    "too large for a feature": (GOOD + "7,1e39,0\n", ", line 4: column 'price' holds 1e+39, which"),
    "a negative amount": (GOOD + "7,-1,0\n", ", line 4: column 'price' holds -1.0, which is below"),
    "a negative amount after breaks": (
        HEAD + "\n0,1,0\n\n5,-2,1\n",
        ", line 5: column 'price' holds -2.0, which is below 0",
    ),
    "a third label": (
        GOOD + "7,1,2\n",
        ", line 4: column 'stolen' holds '2', which is none of 0, 1",
    ),
    "a label in words": (GOOD + "7,1,true\n", ", line 4: column 'stolen' holds 'true', which is"),
    "no fraud": (HEAD + "0,1,0\n5,2,0\n", " holds no fraud (column 'stolen')"),
    "only fraud": (HEAD + "0,1,1\n5,2,1\n", " holds nothing but fraud (column 'stolen')"),
    "a last line cut off": (
        GOOD + "7,1",
        ", line 4: 2 fields where the header has 3: the file may",
    ),
    "a last line cut off early": (GOOD + "7", ", line 4: 1 field where the header has 3"),
    "a last line cut off late": (GOOD + "7,1,", ", line 4: column 'stolen' has no value"),
    "a last line cut off at a quote": (GOOD + '7,1,"', ", line 4: column 'stolen' has no value"),
    "a line of blanks": (GOOD + "  \n7,1,0\n", ", line 4: 1 field where the header has 3"),
    "a quote left open": (GOOD + '7,"1,0\n8,1,0\n9,1,0\n', ", line 4: 2 fields where the header"),
    "a field without an end": (
        GOOD + '7,"1,0\n' + "8,1,0\n" * 30_000,
        ", line 4: not a CSV that can be read (field larger",
    ),
    "Latin-1 in a number": (
        GOOD.encode() + b"7,\xa3 1,0\n",
        ", line 4: column 'price' is not UTF-8",
    ),
    "Latin-1 in the label": (
        GOOD.encode() + b"7,1,\xe9\n",
        ", line 4: column 'stolen' is not UTF-8",
    ),
    "text below Latin-1 in an extra column": (
        b"at,price,stolen,who\n0,1,0,\xe9\n5,x,1,b\n",
        ", line 3: column 'price' holds 'x'",
    ),
    "Latin-1 in the header": (b"at,price,stol\xe9n\n0,1,0\n", ", line 1: the header is not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), ", line 1: the header is not UTF-8"),
    "a NUL byte in a number": (GOOD + "7,1\x00,0\n", r", line 4: column 'price' holds '1\x00'"),
    "a NUL byte in the label": (GOOD + "7,1,0\x00\n", r", line 4: column 'stolen' holds '0\x00'"),
    "a NUL byte in the header": ("at,pri\x00ce,stolen\n0,1,0\n", ", line 1: no column 'price'"),
    "NUL bytes as after a crash": (GOOD + "\x00" * 512, ", line 4: 1 field where the header has 3"),
}


@pytest.mark.parametrize(("content", "said"), SPOILT.values(), ids=SPOILT.keys())
def test_bad_input_is_one_sentence_with_line_and_column(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    assert refusal(tmp_path, content).startswith(said)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no raw data at .*none\.csv \(No such file.*get-data"):
        read_csv(tmp_path / "none.csv", CUPS)
    with pytest.raises(DataError, match="no raw data at"):
        read_csv(tmp_path, CUPS)


def test_the_first_line_that_does_not_fit_is_the_one_that_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, HEAD + "0,1,0\n5,1,9\n6,-3,1\n7,-inf,1\n")
    assert message.startswith(", line 3: column 'stolen' holds '9'")
    assert "in all 3 values do not fit" in message
    message = refusal(tmp_path, HEAD + "0,1,0\n5,x,1\ny,1,1\n")
    assert message.startswith(", line 3: column 'price' holds 'x'")


def test_a_long_value_is_shortened_in_the_sentence(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, GOOD + f"7,{'x' * 5000},0\n")) < 200
    assert len(refusal(tmp_path, GOOD + f"7,1,{'x' * 5000}\n")) < 200


def test_a_break_inside_a_field_is_read_wherever_it_falls_in_a_large_file(tmp_path: Path) -> None:
    notes = [f'{row},1,{row % 2},"{"x" * (row % 89)}\ny"\n' for row in range(40_000)]
    table = through(tmp_path / "cups.csv", "at,price,stolen,note\n" + "".join(notes))
    assert table["at"].tolist() == list(range(40_000))


def test_words_for_nothing_are_categories_and_ids_like_any_other(tmp_path: Path) -> None:
    rows = [
        {"at": 0.0, "price": 1.0, "abroad": "no", "stall": "NA", "size": "1", "buyer": buyer}
        for buyer in ("NA", "null", "nan", "007", "1.0")
    ]
    labelled = [{**row, "verdict": ("honest", "stolen")[i % 2]} for i, row in enumerate(rows)]
    table = checked(tmp_path / "market.csv", written(labelled))
    assert table["stall"].tolist() == ["NA"] * 5
    assert table["buyer"].tolist() == ["NA", "null", "nan", "007", "1.0"]  # exactly as written


def test_numbers_are_what_the_card_calls_numbers() -> None:
    card = market()
    assert [name for name in card.columns if is_number(card, name)] == ["at", "price"]
    assert not is_number(card, "verdict")
    assert not is_number(card, "weather")


def test_the_header_is_given_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "cups.csv"
    path.write_text("why,stolen,price,at\n", encoding="utf-8-sig")
    assert read_header(path, CUPS) == ["why", "stolen", "price", "at"]


def test_a_row_is_on_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "cups.csv"
    path.write_text('\nat,price\n\n1,"a\nb"\n2,c\n\n\n3,d\n', encoding="utf-8")
    assert [line_of(path, row) for row in range(3)] == [4, 6, 9]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading") / "table.csv"


@thorough
@given(
    before=st.lists(st.booleans(), max_size=5),
    text=st.text("0123456789.eE+-_ naifxy\t,\"'\n;٣é\x00", max_size=6),
    after=st.integers(0, 3),
)
def test_whatever_stands_for_a_number_is_read_or_named(
    path: Path, before: list[bool], text: str, after: int
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["at", "price", "stolen"], [0, 1, 0], [1, 1, 1]])
    for blank in before:
        writer.writerow([] if blank else [2, 1, 0])
    writer.writerow([3, text, 0])
    writer.writerows([[4, 1, 1]] * after)
    line, row = 4 + len(before), 2 + before.count(False)
    try:
        price = through(path, file.getvalue())["price"].iloc[row]
    except DataError as error:
        assert str(error).startswith(f"{path}, line {line}: column 'price' ")  # noqa: PT017 - or it is read
        expected = _number(text)
        assert expected is None or not 0 <= expected <= LARGEST
    else:
        assert price == _number(text)


def _number(text: str) -> float | None:
    """The number a person would read, if there is one."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text) if text.strip() == text.strip(" \t") else None
    except ValueError:
        return None


@quicker
@given(
    rows=purchases(min_size=2).map(with_both),
    shuffled=st.permutations([*market().columns, "verdict", "weather"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    blank=st.booleans(),
    bom=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_a_table_reads_the_same_however_it_is_written_down(
    path: Path,
    rows: list[dict[str, Any]],
    shuffled: list[str],
    line_end: str,
    blank: bool,
    bom: bool,
    quoting: Any,
) -> None:
    plain = read_csv(_put(path, written(rows).encode()), market())
    file = io.StringIO()
    writer = csv.DictWriter(
        file, shuffled, lineterminator=line_end * (2 if blank else 1), quoting=quoting
    )
    writer.writeheader()
    writer.writerows({**row, "weather": 'wet, "very"'} for row in rows)
    content = file.getvalue().encode("utf-8-sig" if bom else "utf-8")
    pd.testing.assert_frame_equal(read_csv(_put(path, content), market()), plain)


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@thorough
@given(
    place=st.integers(0, len(GOOD)),
    removed=st.integers(0, 6),
    put=st.binary(max_size=4)
    | st.sampled_from([b'"', b"\n", b"\r", b",", b"\x00", b"\xff", b'""']),
)
def test_a_spoilt_file_is_a_table_or_our_own_error_never_another(
    path: Path, place: int, removed: int, put: bytes
) -> None:
    good = GOOD.encode()
    try:
        table = through(path, good[:place] + put + good[place + removed :])
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - or it is read
        assert str(path) in str(error)  # noqa: PT017 - the same
    else:
        assert list(table.columns) == list(READ)
        assert set(table["stolen"]) == {0, 1}
        assert (table[["at", "price"]] >= 0).all(axis=None)
