"""What a resource's source means: a file, a directory, a glob, a URL, or the content itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from batchcore.model import Resource
from batchcore.plan.sources import FileHashes, PlannedFile, expand


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes = b"x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Callable[[Resource], list[PlannedFile]]:
    return lambda resource: expand(resource, tmp_path, FileHashes())


@pytest.fixture
def refusal(problems_of, tmp_path: Path):
    """Return the one problem with a resource."""

    def problem(resource: Resource):
        (found,) = problems_of(expand, resource, tmp_path, FileHashes())
        return found

    return problem


def names(planned: list[PlannedFile]) -> list[str]:
    return [file.path for file in planned]


# A file.


def test_a_file_is_known_by_its_content(files, tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", b"1,2\n")
    assert files(Resource("data.csv", source="in.csv")) == [
        PlannedFile(
            path="data.csv",
            key=sha256(b"1,2\n"),
            digest=sha256(b"1,2\n"),
            size=4,
            mode="0644",
            source=str(path),
        )
    ]


def test_a_relative_source_starts_at_the_base_and_an_absolute_one_does_not(
    files, tmp_path: Path
) -> None:
    path = write(tmp_path / "sub" / "a")
    for source in ("sub/a", "./sub/a", str(path), f"file://{path}"):
        assert files(Resource("a", source=source))[0].digest == sha256(b"x")


def test_a_tilde_is_the_home_of_the_caller(files, tmp_path: Path) -> None:
    path = write(Path(os.environ["HOME"]) / "in.csv", b"home")
    (file,) = files(Resource("a", source="~/in.csv"))
    assert file.source == str(path)


def test_an_executable_file_stays_executable(files, tmp_path: Path) -> None:
    write(tmp_path / "run.sh", mode=0o700)
    write(tmp_path / "data", mode=0o600)
    assert files(Resource("run.sh", source="run.sh"))[0].mode == "0755"
    assert files(Resource("data", source="data"))[0].mode == "0644"


def test_the_mode_that_is_asked_for_wins(files, tmp_path: Path) -> None:
    write(tmp_path / "run.sh", mode=0o700)
    assert files(Resource("run.sh", source="run.sh", mode="640"))[0].mode == "0640"


def test_a_link_stands_for_its_file(files, tmp_path: Path) -> None:
    write(tmp_path / "real", b"content")
    (tmp_path / "link").symlink_to("real")
    assert files(Resource("a", source="link"))[0].digest == sha256(b"content")


def test_a_file_whose_name_has_a_wildcard_is_that_file(files, tmp_path: Path) -> None:
    write(tmp_path / "a[1].csv", b"literal")
    write(tmp_path / "a1.csv", b"other")
    assert files(Resource("a", source="a[1].csv"))[0].digest == sha256(b"literal")


def test_a_missing_file_comes_with_one_that_could_be_meant(refusal, tmp_path: Path) -> None:
    write(tmp_path / "config.json")
    problem = refusal(Resource("c", source="confg.json"))
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert problem.reason == "there is no file 'confg.json'"
    assert problem.hint == f"did you mean {str(tmp_path / 'config.json')!r}?"


def test_a_missing_file_comes_with_where_relative_sources_start(refusal, tmp_path: Path) -> None:
    assert refusal(Resource("c", source="x")).hint == f"relative sources start at {tmp_path}"


def test_a_missing_directory_is_named(refusal, tmp_path: Path) -> None:
    hint = refusal(Resource("c", source="nowhere/x")).hint
    assert hint == f"there is no directory {str(tmp_path / 'nowhere')!r}"


def test_a_pipe_is_refused_and_not_waited_for(refusal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    problem = refusal(Resource("a", source="pipe"))
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert "is not a regular file" in problem.reason


def test_a_link_to_nothing_is_refused(refusal, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert "No such file" in refusal(Resource("a", source="link")).reason


def test_a_file_that_cannot_be_read_is_refused(
    problems_of, open_directory: Path, without_rights
) -> None:
    path = write(open_directory / "secret", mode=0o000)
    with without_rights():
        (problem,) = problems_of(
            expand, Resource("a", source="secret"), open_directory, FileHashes()
        )
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert problem.reason == f"{str(path)!r} cannot be read: Permission denied"


def test_a_file_below_a_closed_directory_is_refused(
    problems_of, open_directory: Path, without_rights
) -> None:
    write(open_directory / "closed" / "a")
    (open_directory / "closed").chmod(0)
    with without_rights():
        (problem,) = problems_of(
            expand, Resource("a", source="closed/a"), open_directory, FileHashes()
        )
    assert "cannot be read: Permission denied" in problem.reason


def test_a_file_is_read_once_however_often_it_is_planned(tmp_path: Path) -> None:
    write(tmp_path / "a", b"first")
    hashes = FileHashes()
    first = expand(Resource("a", source="a"), tmp_path, hashes)
    write(tmp_path / "a", b"second")
    assert expand(Resource("b", source="a"), tmp_path, hashes)[0].digest == first[0].digest


# A directory.


def test_a_directory_is_all_of_its_files_in_a_fixed_order(files, tmp_path: Path) -> None:
    for name in ("z", "b/2", "b/1", "a/deep/er/x", ".hidden", "b/.hidden"):
        write(tmp_path / "tree" / name)
    (tmp_path / "tree" / "empty").mkdir()
    found = names(files(Resource("in", source="tree")))
    assert found == ["in/.hidden", "in/z", "in/a/deep/er/x", "in/b/.hidden", "in/b/1", "in/b/2"]


def test_files_in_a_directory_keep_their_executable_bit(files, tmp_path: Path) -> None:
    write(tmp_path / "tree" / "run", mode=0o755)
    write(tmp_path / "tree" / "data")
    modes = {file.path: file.mode for file in files(Resource("in", source="tree"))}
    assert modes == {"in/run": "0755", "in/data": "0644"}


def test_links_in_a_directory_are_followed(files, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a", b"far")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").symlink_to("../elsewhere/a")
    (tmp_path / "tree" / "folder").symlink_to("../elsewhere")
    found = files(Resource("in", source="tree"))
    assert names(found) == ["in/file", "in/folder/a"]
    assert {file.digest for file in found} == {sha256(b"far")}


def test_a_link_to_a_directory_above_does_not_go_round_for_ever(files, tmp_path: Path) -> None:
    write(tmp_path / "tree" / "sub" / "a")
    (tmp_path / "tree" / "sub" / "up").symlink_to("..")
    (tmp_path / "tree" / "self").symlink_to(".")
    assert names(files(Resource("in", source="tree"))) == ["in/sub/a"]


def test_directories_that_link_to_each_other_twice_are_walked_once_each_way(
    files, tmp_path: Path
) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "file").write_text(name)
        (folder / "x").symlink_to(f"../{other}")
        (folder / "y").symlink_to(f"../{other}")
    found = files(Resource("in", source="data"))
    ways = ("a/file", "a/x/file", "a/y/file", "b/file", "b/x/file", "b/y/file")
    assert sorted(file.path for file in found) == [f"in/{way}" for way in ways]


def test_links_that_lead_round_in_too_many_ways_are_refused(refusal, tmp_path: Path) -> None:
    for name in "abcdefgh":
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for other in "abcdefgh":
            (folder / f"to-{other}").symlink_to(f"../{other}")
    problem = refusal(Resource("in", source="data"))
    assert "in over 1,000 ways" in problem.reason
    assert problem.key == "source"


def test_a_directory_that_cannot_be_read_is_not_silently_left_out(
    problems_of, open_directory: Path, without_rights
) -> None:
    write(open_directory / "tree" / "a")
    closed = open_directory / "tree" / "closed"
    closed.mkdir(mode=0)
    with without_rights():
        (problem,) = problems_of(
            expand, Resource("in", source="tree"), open_directory, FileHashes()
        )
    assert problem.reason == f"{str(closed)!r} cannot be read: Permission denied"


def test_a_name_that_no_task_could_have_is_refused(refusal, tmp_path: Path) -> None:
    write(tmp_path / "tree" / "a\nb")
    problem = refusal(Resource("in", source="tree"))
    assert (problem.code, problem.key) == ("BC2100", "path")


def test_a_name_that_is_not_utf8_is_refused(refusal, tmp_path: Path) -> None:
    write(tmp_path / "tree" / os.fsdecode(b"a\xff"))
    assert refusal(Resource("in", source="tree")).code == "BC2100"
    assert "UTF-8" in refusal(Resource("in", source=os.fsdecode(b"tree/a\xff"))).reason


# A glob.


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("data/*.csv", ["in/a.csv", "in/b.csv"]),
        ("data/**/*.csv", ["in/a.csv", "in/b.csv", "in/sub/c.csv"]),
        ("data/[!a].csv", ["in/b.csv"]),
        ("./data/a*", ["in/a.csv", "in/a.txt"]),
        ("*/a.csv", ["in/data/a.csv"]),
        ("data/*/*", ["in/sub/c.csv"]),
        ("data/.*", ["in/.hidden.csv"]),
    ],
)
def test_a_glob_keeps_the_names_below_its_fixed_part(
    files, tmp_path: Path, source: str, found: list[str]
) -> None:
    for name in ("a.csv", "b.csv", "a.txt", ".hidden.csv", "sub/c.csv"):
        write(tmp_path / "data" / name)
    assert names(files(Resource("in", source=source))) == found


def test_a_glob_may_be_absolute_or_a_url_or_below_home(files, tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv")
    write(Path(os.environ["HOME"]) / "b.csv")
    assert names(files(Resource("in", source=f"{tmp_path}/data/*.csv"))) == ["in/a.csv"]
    assert names(files(Resource("in", source=f"file://{tmp_path}/*/*.csv"))) == ["in/data/a.csv"]
    assert names(files(Resource("in", source="~/*.csv"))) == ["in/b.csv"]


def test_a_bracket_in_the_base_is_no_part_of_the_pattern(tmp_path: Path) -> None:
    base = tmp_path / "run[1]*"
    write(base / "a.csv")
    assert names(expand(Resource("in", source="*.csv"), base, FileHashes())) == ["in/a.csv"]


def test_a_glob_above_the_base_is_allowed(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv")
    (tmp_path / "job").mkdir()
    found = expand(Resource("in", source="../data/*"), tmp_path / "job", FileHashes())
    assert names(found) == ["in/a.csv"]


def test_a_glob_looks_no_deeper_than_its_pattern(open_directory: Path, without_rights) -> None:
    write(open_directory / "a.csv")
    (open_directory / "closed").mkdir(mode=0)
    with without_rights():
        found = expand(Resource("in", source="*.csv"), open_directory, FileHashes())
    assert names(found) == ["in/a.csv"]


@pytest.mark.parametrize("source", ["data/*.csv", "nowhere/*.csv"])
def test_a_glob_that_matches_nothing_is_a_problem(refusal, tmp_path: Path, source: str) -> None:
    write(tmp_path / "data" / "a.txt")
    problem = refusal(Resource("in", source=source))
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert problem.reason == f"{source!r} matches no file"
    assert problem.hint == f"look into {(tmp_path / source).parent}"


def test_a_glob_with_an_unclosed_bracket_is_a_problem(refusal, tmp_path: Path) -> None:
    problem = refusal(Resource("in", source="data/[a.csv"))
    assert (problem.code, problem.key) == ("BC2101", "source")


# The content itself.


def test_text_is_written_as_utf8(files) -> None:
    (file,) = files(Resource("a.txt", text="é"))
    assert (file.content, file.size, file.mode) == (b"\xc3\xa9", 2, "0644")
    assert file.key == file.digest == sha256(b"\xc3\xa9")


def test_content_may_be_any_bytes_and_none(files) -> None:
    assert files(Resource("a", content=b"\0\xff"))[0].content == b"\0\xff"
    assert files(Resource("a", content=b""))[0].size == 0
    assert files(Resource("a", text=""))[0].size == 0


def test_a_script_may_be_given_inline(files) -> None:
    assert files(Resource("run.sh", text="#!/bin/sh\n", mode="0755"))[0].mode == "0755"


# A URL.


def test_a_url_is_looked_up_and_not_read(files, memory: str) -> None:
    fsspec.filesystem("memory").pipe(f"{memory}/a.csv", b"12345")
    (file,) = files(Resource("a.csv", source=f"{memory}/a.csv"))
    assert (file.size, file.digest, file.source) == (5, None, f"{memory}/a.csv")
    assert file.key.startswith("url-")


def test_the_key_of_a_url_changes_when_the_object_does(files, memory: str) -> None:
    resource = Resource("a", source=f"{memory}/a")
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe(f"{memory}/a", b"1")
    before = files(resource)[0].key
    assert files(resource)[0].key == before
    filesystem.pipe(f"{memory}/a", b"22")
    assert files(resource)[0].key != before


def test_the_key_of_a_web_page_is_stable_while_its_content_is(files, site) -> None:
    url = site.put("a.csv", b"12345")
    first, again = (files(Resource("a", source=url))[0] for _ in range(2))
    assert first == again
    assert first.size == 5


def test_the_key_of_a_web_page_changes_with_its_size(files, site) -> None:
    resource = Resource("a", source=site.put("a.csv", b"12345"))
    before = files(resource)[0].key
    site.put("a.csv", b"123456")
    assert files(resource)[0].key != before


def test_the_key_of_a_web_page_changes_with_its_date_alone(files, site) -> None:
    resource = Resource("a", source=site.put("a.csv", b"12345"))
    before = files(resource)[0].key
    site.put("a.csv", b"54321")
    os.utime(site.root / "a.csv", (1e9, 1e9))
    assert files(resource)[0].key != before


def test_two_urls_have_two_keys(files, site) -> None:
    one, other = site.put("a", b"1"), site.put("b", b"1")
    os.utime(site.root / "a", (1e9, 1e9))
    os.utime(site.root / "b", (1e9, 1e9))
    keys = {files(Resource("x", source=url))[0].key for url in (one, other)}
    assert len(keys) == 2


def test_a_missing_web_page_is_a_problem(refusal, site) -> None:
    problem = refusal(Resource("a", source=f"{site.address}/nothing"))
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert f"{site.address}/nothing" in problem.reason


@pytest.mark.parametrize("source", ["memory://nowhere/a", "gopher://host/a"])
def test_a_url_that_cannot_be_read_is_a_problem(refusal, source: str) -> None:
    problem = refusal(Resource("a", source=source))
    assert (problem.code, problem.key) == ("BC2205", "source")
    assert problem.hint == "check the address, and that its fsspec package is installed"


def test_the_url_of_a_directory_is_a_problem(refusal, memory: str) -> None:
    fsspec.filesystem("memory").pipe(f"{memory}/sub/a", b"1")
    problem = refusal(Resource("a", source=f"{memory}/sub"))
    assert problem.reason == f"{memory + '/sub'!r} is a directory"
    assert problem.hint == "name a file"
