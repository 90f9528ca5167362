"""The small parts that need neither a node nor a storage."""

from __future__ import annotations

import pytest

from batchcore_azure.emulator import runoptions
from batchcore_azure.emulator.autoscale import FormulaError, evaluate
from batchcore_azure.emulator.blobs import bare, blob_url, with_query
from batchcore_azure.emulator.cloud import without_proxy
from batchcore_azure.emulator.failures import TaskFailure
from batchcore_azure.emulator.places import seconds
from batchcore_azure.settings import HARMLESS, AzureSettings
from batchcore_azure.translate import autoscale_formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT30S", 30.0),
        ("PT0.5S", 0.5),
        ("PT1H2M3S", 3723.0),
        ("P2D", 172800.0),
        ("P1DT1S", 86401.0),
        ("P10675199DT2H48M5.4775807S", None),
        (None, None),
        ("", None),
    ],
)
def test_durations(text: str | None, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("formula", "nodes"),
    [
        ("$TargetDedicatedNodes = 3", "3"),
        ("$TargetDedicatedNodes = 1 + 2 * 3 - 4 / 2;", "5"),
        ("$TargetDedicatedNodes = (1 + 2) * 3;", "9"),
        ("$TargetDedicatedNodes = 7 / 2;", "3"),
        ("x = -2; $TargetDedicatedNodes = max(0, x);", "0"),
        ("$TargetDedicatedNodes = 1 > 2 ? 5 : 2 >= 2 && 1 != 0 ? 6 : 7;", "6"),
        ("$TargetDedicatedNodes = !0 || 0;", "1"),
        ("// all of them\n$TargetDedicatedNodes = $PendingTasks; /* or none */", "8"),
        ("$TargetDedicatedNodes = avg($PendingTasks.GetSample(TimeInterval_Minute * 5));", "8"),
        ("$TargetDedicatedNodes = $PendingTasks.GetSamplePercent(60) < 70 ? 1 : 2;", "2"),
        ("$TargetDedicatedNodes = min(3, $PendingTasks.GetSample(1));", "3"),
        ("$TargetDedicatedNodes = len($PendingTasks.GetSample(1)) + sum(1, 2);", "4"),
    ],
)
def test_formulas(formula: str, nodes: str) -> None:
    assert evaluate(formula, {"$PendingTasks": 8}) == {"$TargetDedicatedNodes": nodes}


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("$TargetDedicatedNodes = $CPUPercent;", "CPUPercent"),
        ("$TargetDedicatedNodes = $PendingTasks.Count();", "Count"),
        ("$TargetDedicatedNodes = rand();", "rand"),
        ("$TargetDedicatedNodes = 1 / 0;", "division"),
        ("$TargetDedicatedNodes = ln($PendingTasks - 8);", "math domain"),
        ("$TargetDedicatedNodes = requeue;", "requeue"),
        ("$TargetDedicatedNodes = $PendingTasks.GetSample(1);", "list"),
        (f"$TargetDedicatedNodes = {'9' * 400};", "infinity"),
        ("$TargetDedicatedNodes = (1;", "missing"),
        ("$TargetDedicatedNodes = 1 +", "too early"),
        ("$TargetDedicatedNodes 1", "'='"),
        ("x = 1;", "targets"),
        ("$TargetDedicatedNodes = #;", "cannot read"),
        ("x=1;" * 101, "100 statements"),
        ("$TargetDedicatedNodes = " + "(" * 500 + "1", "nested"),
        ("x" * 9000, "8 KB"),
    ],
)
def test_a_formula_that_is_not_understood_is_an_error(formula: str, reason: str) -> None:
    with pytest.raises(FormulaError, match=reason):
        evaluate(formula, {"$PendingTasks": 8})


@pytest.mark.parametrize(
    ("pending", "nodes", "spot"), [(0, "0", "0"), (1, "1", "0"), (4, "2", "0"), (9, "2", "3")]
)
def test_the_formula_of_the_backend_is_understood(pending: int, nodes: str, spot: str) -> None:
    formula = autoscale_formula(AzureSettings(nodes=2, spot_nodes=7, slots_per_node=2))
    assert evaluate(formula, {"$PendingTasks": pending}) == {
        "$TargetDedicatedNodes": nodes,
        "$TargetLowPriorityNodes": spot,
        "$NodeDeallocationOption": "taskcompletion",
    }


@pytest.mark.parametrize("text", ["--privileged", "--volume=/:/x", "--cpus much", "'", "image"])
def test_options_that_are_not_known_are_refused(text: str) -> None:
    with pytest.raises(TaskFailure) as caught:
        runoptions.parse(text)
    assert caught.value.code == "ContainerInvalidSettings"


def test_no_options_leave_docker_its_defaults() -> None:
    assert runoptions.host_config(runoptions.parse(None)) == {}


def test_urls_keep_their_signature_and_can_lose_it() -> None:
    container = "http://127.0.0.1:1/account/container?sv=1&sig=a%2Bb"
    assert blob_url(container, "a b/grün#.txt") == (
        "http://127.0.0.1:1/account/container/a%20b/gr%C3%BCn%23.txt?sv=1&sig=a%2Bb"
    )
    assert with_query(container, {"comp": "list"}).endswith("?comp=list&sv=1&sig=a%2Bb")
    assert bare(container) == "http://127.0.0.1:1/account/container"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "intra.net"}, "intra.net,127.0.0.1,localhost"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1"),
    ],
)
def test_this_machine_is_added_to_what_needs_no_proxy(known: dict[str, str], text: str) -> None:
    assert without_proxy(known) == {"NO_PROXY": text, "no_proxy": text}


def test_every_option_that_the_backend_lets_through_is_understood():
    values = {
        "--add-host": "=store:10.0.0.1",
        "--dns": "=10.0.0.2",
        "--dns-search": "=example.org",
        "--hostname": "=worker",
        "--label": "=team=x",
        "--shm-size": "=64m",
        "--stop-signal": "=SIGINT",
        "--tmpfs": "=/scratch:size=1m",
        "--ulimit": "=nofile=64:128",
    }
    options = runoptions.parse(" ".join(name + values.get(name, "") for name in HARMLESS))
    config = runoptions.host_config(options)
    assert config["extra_hosts"] == {"store": "10.0.0.1"}
    assert config["ulimits"] == [{"Name": "nofile", "Soft": 64, "Hard": 128}]
    assert (options.stop_signal, options.label) == ("SIGINT", ["team=x"])
