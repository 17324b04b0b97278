"""Named parameters become positional ones, and nothing else that has a colon does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.detections.detection import ParameterValue
from bot.detections.parameters import find_parameters, make_positional, postgres_type

TYPES = {"now": "timestamptz", "n": "integer", "cards": "text[]"}


@pytest.mark.parametrize(
    ("sql", "translated", "names"),
    [
        ("SELECT :n", "SELECT $1::integer", ("n",)),
        (":n + :n", "$1::integer + $1::integer", ("n",)),
        (":now - :n", "$1::timestamptz - $2::integer", ("now", "n")),
        (":n::bigint", "$1::integer::bigint", ("n",)),
        ("'12'::text", "'12'::text", ()),
        ("x::n", "x::n", ()),
        ("':n'", "':n'", ()),
        ("'it''s :n'", "'it''s :n'", ()),
        (r"E'\' :n' || :n", r"E'\' :n' || $1::integer", ("n",)),
        (r"'\' || :n", r"'\' || $1::integer", ("n",)),
        ('":n"', '":n"', ()),
        ("-- :n\n:n", "-- :n\n$1::integer", ("n",)),
        ("/* :n */ :n", "/* :n */ $1::integer", ("n",)),
        ("/* /* :n */ :n */ :n", "/* /* :n */ :n */ $1::integer", ("n",)),
        ("$$ :n $$ :n", "$$ :n $$ $1::integer", ("n",)),
        ("$a$ :n $$ :n $a$ :n", "$a$ :n $$ :n $a$ $1::integer", ("n",)),
        ("a[1 : 2]", "a[1 : 2]", ()),
        ("a[1:2]", "a[1:2]", ()),
        ("f(x := 1)", "f(x := 1)", ()),
        ("x <> ALL (:cards)", "x <> ALL ($1::text[])", ("cards",)),
        ("'unfinished :n", "'unfinished $1::integer", ("n",)),
    ],
)
def test_parameters_are_translated(sql: str, translated: str, names: tuple[str, ...]) -> None:
    statement = make_positional(sql, TYPES)
    assert statement.sql == translated
    assert statement.names == names


@pytest.mark.parametrize(
    ("sql", "at"),
    [("SELECT $1", 7), ("'$1' || $2", 8), ("'$1'", None), ("a$1", None), ("$$ $1 $$", None)],
)
def test_a_positional_parameter_is_noticed(sql: str, at: int | None) -> None:
    assert find_parameters(sql)[1] == at


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (True, "boolean"),
        (3, "integer"),
        (2**40, "bigint"),
        (0.5, "double precision"),
        (timedelta(hours=1), "interval"),
        ("a", "text"),
        (("a", "b"), "text[]"),
    ],
)
def test_a_parameter_has_the_type_of_its_default(value: ParameterValue, type_: str) -> None:
    assert postgres_type(value) == type_
