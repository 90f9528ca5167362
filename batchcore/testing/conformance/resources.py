"""Resources: every byte at its place with its mode, each content sent once, the same for all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from batchcore.errors import TransferError
from batchcore.events import Event, Staged
from batchcore.model import Resource, Task
from batchcore.run import Run
from batchcore.states import TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

HOSTILE_NAMES = (
    "a b",
    "it's",
    'say "x"',
    "#?%41&=+.txt",
    "ünïcødé.txt",
    "-n",
    "[x]*?",
    "$HOME `id`",
    "a;b|c>d",
    "n" * 200,
)
_CONTENT = "Resource: the task finds exactly this content at this path when it starts"

# Prints "NAME SHA256  -" for every file below the working directory.
_LOOK = (
    'look() { for f in "$1"/* "$1"/.[!.]*; do '
    'if test -d "$f"; then look "$f"; '
    'elif test -e "$f"; then printf "%s " "${f#./}"; sha256sum < "$f"; fi; '
    "done; }; look ."
)


class Resources(Group):
    """What a task finds in its working directory."""

    def test_content_arrives_byte_for_byte(self, trial: Trial) -> None:
        contents = {
            "text": "two\r\nlines, ü, no end".encode(),
            "binary": bytes(range(256)) * 3,
            "empty": b"",
            "large": b"".join(b"%07d\n" % number for number in range(5 << 17)),
        }
        (trial.here / "large").write_bytes(contents["large"])
        seen = _seen(
            trial,
            Resource("text", text=contents["text"].decode()),
            Resource("binary", content=contents["binary"]),
            Resource("empty", content=b""),
            Resource("large", source="large"),
        )
        assert seen == _digests(contents), says(_CONTENT, seen)

    def test_a_file_a_directory_a_glob_and_a_url_arrive_at_their_paths(self, trial: Trial) -> None:
        for name in ("one", "url", "tree/a", "tree/sub/b", "csv/1.csv", "csv/2.csv", "csv/other"):
            (trial.here / name).parent.mkdir(parents=True, exist_ok=True)
            (trial.here / name).write_text(name)
        seen = _seen(
            trial,
            Resource("deep/down/here", source="one"),
            Resource("by-url", source=(trial.here / "url").as_uri()),
            Resource("all", source="tree"),
            Resource("tables", source="csv/*.csv"),
            Resource(".hidden/.file", text="hidden"),
        )
        wanted = {
            "deep/down/here": b"one",
            "by-url": b"url",
            "all/a": b"tree/a",
            "all/sub/b": b"tree/sub/b",
            "tables/1.csv": b"csv/1.csv",
            "tables/2.csv": b"csv/2.csv",
            ".hidden/.file": b"hidden",
        }
        assert seen == _digests(wanted), says(_CONTENT, seen)

    def test_hostile_names_arrive_as_they_are(self, trial: Trial) -> None:
        contents = {name: name.encode() for name in HOSTILE_NAMES}
        given = [Resource(name, content=content) for name, content in contents.items()]
        # Written in two characters, u and a diaeresis; in NFC it is one.
        seen = _seen(trial, *given, Resource("u\u0308", text="composed"))
        assert seen == _digests({**contents, "\u00fc": b"composed"}), says(
            "Resource: names are POSIX and NFC, and mean themselves on every backend", seen
        )

    def test_a_resource_has_its_mode(self, trial: Trial) -> None:
        script = trial.here / "script"
        script.write_text("#!/bin/sh\necho it runs\n")
        script.chmod(0o755)
        task = Task(
            "a",
            shell="stat -c %a plain private own executable && cat private && ./own && ./executable",
            resources=[
                Resource("plain", text=""),
                Resource("private", text="it is read\n", mode="0600"),
                Resource("own", text=script.read_text(), mode="0755"),
                Resource("executable", source="script"),
            ],
        )
        run = trial.run(task)
        wanted = b"644\n600\n755\n755\nit is read\nit runs\nit runs\n"
        assert run.log("a") == wanted, says(
            "Resource: `mode` is the file mode, default 0644; an executable source has 0755",
            (run.log("a"), run.log("a", "stderr")),
        )

    def test_the_same_content_is_sent_once(self, trial: Trial) -> None:
        (trial.here / "same").write_text("same\n")
        given = [Resource("a", text="same\n"), Resource("b", source="same")]
        tasks = [
            Task(f"t{number}", shell="cat a b", resources=[*given, Resource(f"c{number}", text="")])
            for number in range(3)
        ]
        events: list[Event] = []
        run = trial.run(*tasks, observers=[events.append])
        staged = [event for event in events if isinstance(event, Staged)]
        assert [(event.sent, event.total) for event in staged] == [(2, 2)], says(
            "stage: each distinct content is sent once, however many tasks have it", staged
        )
        logs = [run.log(task.id) for task in tasks]
        assert logs == [b"same\nsame\n"] * 3, says(_CONTENT, logs)

    @pytest.mark.parametrize("fate", ["changed", "vanished"])
    def test_a_source_that_is_not_as_planned_stops_the_run(self, trial: Trial, fate: str) -> None:
        source = trial.here / "data"
        source.write_text("planned")
        prepared = trial.prepare(
            Task("a", shell="cat data", resources=[Resource("data", source="data")])
        )
        if fate == "changed":
            source.write_text("another")
        else:
            source.unlink()
        with pytest.raises(TransferError):
            trial.drive(prepared)
        task = Run.load(trial.directory).task("a")
        assert task.state is TaskState.PENDING, says(
            f"stage: where a source has {fate} since the plan nothing is run", task
        )

    def test_what_a_task_does_to_its_resources_harms_no_other(self, trial: Trial) -> None:
        shared = [Resource("read", text="read\n"), Resource("gone", text="gone\n", mode="0666")]
        spoil = "cat read gone; chmod 666 read; echo spoilt > read; echo spoilt >> gone; rm gone"
        opened = trial.open(Task("a", shell=spoil), Task("b", shell=spoil), resources=shared)
        opened.submit("a")
        opened.end_of("a")
        opened.submit("b")
        opened.submit("a", number=2)
        attempts = (("a", 1), ("b", 1), ("a", 2))
        for task_id, number in attempts:
            opened.end_of(task_id, number)
        logs = [opened.log(task_id, number=number) for task_id, number in attempts]
        assert logs == [b"read\ngone\n"] * 3, says(
            "a task may change its resources; another task and attempt find them as given", logs
        )


def _seen(trial: Trial, *resources: Resource) -> dict[str, str]:
    """Run a task with these resources; return the SHA-256 of each file it finds, by its name."""
    run = trial.run(Task("a", shell=_LOOK, resources=resources))
    lines = run.log("a").decode().splitlines()
    assert run.state == "succeeded", says(
        "a task whose command exits 0 succeeds", (run.task("a"), run.log("a", "stderr"))
    )
    return {name: digest for name, digest, *_ in (line.rsplit(" ", 3) for line in lines)}


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
