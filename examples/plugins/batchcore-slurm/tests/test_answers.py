"""What Slurm's programs print."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from batchcore_slurm import answers
from batchcore_slurm.answers import Row


def line(*values: str) -> str:
    widths = [int(field.partition(":")[2]) for field in answers.QUEUE_FORMAT.split(",")]
    return "".join(value.ljust(width) for value, width in zip(values, widths, strict=True))


def test_a_running_element_has_its_node() -> None:
    text = line("1000", "3", "RUNNING", "0", "None", "n17", "batchcore:abc")
    (row,) = answers.queue_rows(text + "\n")
    assert row == Row(
        job="1000", index=3, state="RUNNING", code=0, node="n17", comment="batchcore:abc"
    )


def test_a_waiting_element_says_what_it_waits_for() -> None:
    (row,) = answers.queue_rows(line("1000", "0", "PENDING", "0", "Priority", "", "(null)"))
    assert (row.waits_for, row.node, row.comment) == ("Priority", "", "")


def test_a_job_that_is_no_array_is_not_ours() -> None:
    assert not list(answers.queue_rows(line("7", "N/A", "RUNNING", "0", "None", "n1", "")))


def test_an_exit_code_is_the_upper_half_of_the_wait_status() -> None:
    rows = answers.queue_rows(
        "\n".join(line("7", "0", "FAILED", status, "", "", "") for status in ("768", "9"))
    )
    assert [row.code for row in rows] == [3, None]


def test_accounts_name_who_canceled() -> None:
    text = "12_0|COMPLETED|0:0|n1\n12_1|CANCELLED by 1000|0:15|None assigned\n12_1.batch|X|0:0|n1\n"
    rows = list(answers.account_rows(text))[:2]
    assert rows == [
        Row(job="12", index=0, state="COMPLETED", code=0, node="n1"),
        Row(job="12", index=1, state="CANCELLED", code=None),
    ]


def test_the_configuration_is_read_by_name() -> None:
    text = "Configuration data as of today\nMaxArraySize            = 1001\nX = a=b\n"
    assert answers.config_values(text) == {"MaxArraySize": "1001", "X": "a=b"}


def test_sbatch_names_a_job_alone_or_with_a_cluster() -> None:
    assert answers.job_id("1234\n") == "1234"
    assert answers.job_id("some news of the site\n1234;blue\n") == "1234"
    assert answers.job_id("done\n") is None


@given(st.sets(st.integers(0, 200), min_size=1))
def test_elements_name_each_index_once(indexes: set[int]) -> None:
    named: list[int] = []
    for word in answers.elements("12", indexes):
        found = re.fullmatch(r"12_(?:(\d+)|\[(\d+)-(\d+)\])", word)
        assert found is not None, word
        single, first, last = found.groups()
        named += [int(single)] if single else range(int(first), int(last) + 1)
    assert named == sorted(indexes)
