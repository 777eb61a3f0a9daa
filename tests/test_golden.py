"""What `scripts/golden` says of two sets of records; the comparison of two trees itself takes minutes."""

import golden
import pytest

ROW = [1, 1, {"total": "0.1", "style": "0.05"}]
SAME = {"plain": {"pixels": "ab", "history": [ROW, ROW]}, "help": {"out": "one\ntwo\n", "code": 0}}


def changed(name, **values):
    return {**SAME, name: {**SAME[name], **values}}


def test_equal_records_have_no_differences() -> None:
    assert golden.differences(SAME, changed("plain")) == []
    assert golden.faults("head", SAME) == []


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (changed("plain", pixels="cd"), "plain: pixels: 'ab' != 'cd'"),
        (
            changed("plain", history=[ROW, [1, 1, {**ROW[2], "total": "0.2"}]]),
            "plain: history: 1 rows differ, first row 1: 1 rows differ, first row 2.total: '0.1' != '0.2'",
        ),
        (changed("plain", history=[ROW]), "plain: history: 2 rows != 1 rows"),
        (changed("plain", more=1), "plain: more: only in head: 1"),
        (changed("help", out="one\n2\n"), "help: out: line 2: 'two' != '2'"),
        (changed("help", out="one\ntwo\nthree\n"), "help: out: 2 lines != 3 lines"),
        (changed("help", code=False), "help: code: 0 != False"),
        ({"plain": SAME["plain"]}, "help: only in base"),
        ({**SAME, "plain": {"crash": "KeyError: x"}}, "plain: crash: '' != 'KeyError: x'"),
    ],
)
def test_a_changed_value_is_reported(other, line) -> None:
    assert golden.differences(SAME, other) == [line]


def test_the_same_difference_in_many_records_is_said_once() -> None:
    base, head = ({str(n): {"version": value} for n in range(5)} for value in "12")
    assert golden.differences(base, head) == ["0, 1, 2 and 2 others: version: '1' != '2'"]


def test_what_is_wrong_in_both_trees_is_no_equality() -> None:
    records = {"plain": {"crash": "TypeError: x", "wrong": ["not as before"]}}
    assert golden.faults("base", records) == [
        "plain: base crashed: TypeError: x",
        "plain: base: not as before",
    ]


def test_the_command_lines_of_the_tests_are_found() -> None:
    lines = golden.wrong_invocations()
    assert "photo.png painting.png --nonsense" in lines


def test_the_interval_holds_the_median() -> None:
    low, high = golden.interval([0.9, 1.0, 1.0, 1.1, 1.2])
    assert 0.9 <= low <= 1.0 <= high <= 1.2
