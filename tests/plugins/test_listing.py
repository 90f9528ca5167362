"""`Plugins.names` tells what is installed and runs nobody's code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from batchcore.errors import NotFound, PluginError
from batchcore.plugins import FIRST_PARTY, Plugins
from batchcore.plugins.metadata import installed_entry_points
from batchcore.testing.plugins import PluginInstaller

Look = Callable[..., Plugins]
Good = Callable[..., str]


def test_a_listing_names_backend_distribution_version_and_module(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", "", distribution="demo-dist", version="3.1", module="demo_mod")
    (listed,) = plugins().names()
    found = (listed.name, listed.distribution, listed.version, listed.module, listed.problem)
    assert found == ("demo", "demo-dist", "3.1", "demo_mod", "")


def test_a_listing_imports_nothing(
    install_plugin: PluginInstaller, plugins: Look, tmp_path: Path
) -> None:
    trace = tmp_path / "imported"
    install_plugin("demo", f"import pathlib; pathlib.Path({str(trace)!r}).touch()")
    plugins().names()
    plugins().known()
    assert not trace.exists()
    assert "demo_demo_plugin" not in sys.modules


def test_a_listing_is_sorted_by_name(install_plugin: PluginInstaller, plugins: Look) -> None:
    for name in ("zebra", "ant", "mouse"):
        install_plugin(name, "")
    assert [listed.name for listed in plugins().names()] == ["ant", "mouse", "zebra"]


def test_all_installed_distributions_are_looked_at_by_default(
    install_plugin: PluginInstaller,
) -> None:
    install_plugin("demo", "")
    assert "demo" in [listed.name for listed in Plugins(environ={}).names()]


def test_a_distribution_with_damaged_metadata_hides_no_other(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    damaged = install_plugin.site / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "entry_points.txt").write_text("[batchcore.backends]\nno equals sign\n")
    install_plugin("demo", "")
    assert [listed.name for listed in plugins().names()] == ["demo"]


def test_the_first_of_two_copies_on_the_path_counts(install_plugin: PluginInstaller) -> None:
    install_plugin("demo", "", version="1.0")
    copy = install_plugin.site / "copy"
    copy.mkdir()
    PluginInstaller(copy)("demo", "", version="2.0")
    path = [str(copy), str(install_plugin.site)]
    found = Plugins({}, lambda group: installed_entry_points(group, path)).names()
    assert [listed.version for listed in found] == ["2.0"]


def test_an_entry_point_without_a_distribution_is_listed() -> None:
    entry = EntryPoint("demo", "demo_mod", "batchcore.backends")
    (listed,) = Plugins(environ={}, entry_points=lambda _group: [entry]).names()
    assert (listed.name, listed.distribution) == ("demo", "an unnamed distribution")


def test_known_names_are_the_usable_and_the_first_party_ones(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", "")
    install_plugin("Odd Name", "", distribution="odd", module="odd")
    assert plugins().known() == sorted(["demo", *FIRST_PARTY])


def test_two_distributions_with_one_name_are_both_named(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", "", distribution="first", module="mod_a")
    install_plugin("demo", "", distribution="second", version="2.0", module="mod_b")
    assert all("first 1.0" in p.problem and "second 2.0" in p.problem for p in plugins().names())
    with pytest.raises(PluginError, match=r"first 1\.0 .* and second 2\.0") as caught:
        plugins().spec("demo")
    assert "BATCHCORE_BLOCK_PLUGINS=second" in caught.value.hint


def test_leaving_one_of_two_out_makes_the_other_usable(
    install_plugin: PluginInstaller, good_plugin: Good, plugins: Look
) -> None:
    good_plugin("demo", distribution="first")
    install_plugin("demo", "", distribution="second", module="mod_b")
    assert plugins(BATCHCORE_BLOCK_PLUGINS="second").spec("demo").name == "demo"


@pytest.mark.parametrize("written", ["demo_dist", " Demo.Dist , other", "other,demo-dist,"])
def test_a_blocked_distribution_is_left_out_however_its_name_is_written(
    install_plugin: PluginInstaller, plugins: Look, written: str
) -> None:
    install_plugin("demo", "", distribution="demo-dist")
    look = plugins(BATCHCORE_BLOCK_PLUGINS=written)
    assert not look.names()
    with pytest.raises(NotFound, match="BATCHCORE_BLOCK_PLUGINS") as caught:
        look.spec("demo")
    assert caught.value.error_code == "BC5002"


@pytest.mark.parametrize("name", sorted(FIRST_PARTY))
def test_a_third_party_cannot_take_a_first_party_name(
    install_plugin: PluginInstaller, plugins: Look, tmp_path: Path, name: str
) -> None:
    trace = tmp_path / "imported"
    install_plugin(
        name, f"import pathlib; pathlib.Path({str(trace)!r}).touch()", distribution="intruder"
    )
    with pytest.raises(PluginError, match=r"intruder 1\.0 .* belongs to batchcore"):
        plugins().spec(name)
    assert not trace.exists()


def test_a_taken_first_party_name_does_not_harm_its_owner(
    install_plugin: PluginInstaller, good_plugin: Good, plugins: Look
) -> None:
    good_plugin("azure", distribution="batchcore_azure")
    install_plugin("azure", "raise SystemExit", distribution="intruder", module="intruder_mod")
    assert plugins().spec("azure").name == "azure"
    scanned = [str(found) for found in plugins().scan()]
    assert len(scanned) == 2
    assert "intruder 1.0" in "".join(scanned)


@pytest.mark.parametrize("name", ["Demo", "my backend", "demo_x", "-demo", "demo--x", "9demo"])
def test_an_odd_name_is_refused_by_name(
    install_plugin: PluginInstaller, plugins: Look, name: str
) -> None:
    install_plugin(name, "", distribution="odd-dist", module="odd_mod")
    with pytest.raises(PluginError, match=f"odd-dist 1.0 .*{name!r}.* not a name"):
        plugins().spec(name)


def test_an_unknown_name_gets_the_nearest_one_and_the_installed_ones(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("slurm", "")
    with pytest.raises(NotFound, match="no backend 'slrum'; installed: slurm") as caught:
        plugins().spec("slrum")
    assert caught.value.hint == 'did you mean "slurm"?'
    assert caught.value.error_code == "BC5002"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("local-docker", 'pip install "batchcore[docker]"'),
        ("local-docker", "pip install -e . -e backends/localdocker"),
        ("azure", 'pip install "batchcore[azure]"'),
        ("local-process", "pip install -e ."),
    ],
)
def test_a_first_party_backend_that_is_missing_gets_its_command(
    plugins: Look, name: str, command: str
) -> None:
    with pytest.raises(NotFound, match="is not installed") as caught:
        plugins().spec(name)
    assert command in caught.value.hint
