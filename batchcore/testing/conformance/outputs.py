"""Outputs: the grammar of patterns, what is collected when, and what never is."""

from __future__ import annotations

import hashlib
import shlex

import pytest

from batchcore.errors import TasksFailed
from batchcore.model import Output, Resource, Task
from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.conformance.resources import HOSTILE_NAMES
from batchcore.testing.trial import Trial
from batchcore.transfer.collect import open_tree

_MANY = 200
_UNSAFE = {FailureReason.OUTPUT_UNSAFE, FailureReason.OUTPUT_UPLOAD}
_FILES = "a.txt b.txt ab.txt c.dat .h.txt d/a.txt d/e/f.txt d/.g/i.txt d/.k.txt [x]"
_MATCHES = {
    "*.txt": ["a.txt", "ab.txt", "b.txt"],
    "?.txt": ["a.txt", "b.txt"],
    "[ac].*": ["a.txt", "c.dat"],
    "[!a].*": ["b.txt", "c.dat"],
    "[a-b]*.txt": ["a.txt", "ab.txt", "b.txt"],
    "[[]x]": ["[x]"],
    ".*": [".h.txt"],
    "*/*.txt": ["d/a.txt"],
    "**/*.txt": ["a.txt", "ab.txt", "b.txt", "d/a.txt", "d/e/f.txt"],
    "d/*": ["a.txt"],
    "d/**": ["a.txt", "e/f.txt"],
    "d/.*": [".k.txt"],
    "d/**/f.*": ["e/f.txt"],
}


class Outputs(Group):
    """What is collected of what a task leaves."""

    def test_patterns_have_one_grammar(self, trial: Trial) -> None:
        wanted = list(enumerate(_MATCHES.items()))
        task = Task(
            "a",
            shell=f"mkdir -p d/e d/.g; for f in {_FILES}; do echo x > $f; done",
            outputs=[Output(pattern, to=f"p{number}") for number, (pattern, _) in wanted],
        )
        published = sorted(_published(trial.run(task)))
        for number, (pattern, names) in wanted:
            place = f"p{number}/"
            found = [name.removeprefix(place) for name in published if name.startswith(place)]
            assert found == names, says(
                f"outputs: {pattern!r} means {names}, relative to its part without a wildcard",
                found,
            )

    def test_an_output_lands_where_it_is_told_to(self, trial: Trial) -> None:
        task = Task(
            "a",
            shell="mkdir -p d p; echo 1 > one; echo 2 > d/two; echo 3 > p/three; echo 4 > p/four",
            outputs=[Output("one", to="renamed/first"), "d/two", Output("p/t*", to="all"), "p/f*"],
        )
        published = _published(trial.run(task))
        wanted = {
            "renamed/first": b"1\n",
            "a/d/two": b"2\n",
            "all/three": b"3\n",
            "a/four": b"4\n",
        }
        assert published == wanted, says(
            "Output: `to` is the file's name, or the directory of a pattern; default "
            "<task>/<path> and <task>",
            published,
        )

    def test_an_output_is_collected_after_the_ends_it_names(self, trial: Trial) -> None:
        outputs = [
            Output("good", when="success"),
            Output("bad", when="failure"),
            Output("both", when="always"),
        ]
        write = "for f in good bad both; do echo $f > $f; done"
        run = trial.run(
            Task("well", shell=write, outputs=outputs),
            Task("ill", shell=f"{write}; exit 3", outputs=outputs),
        )
        wanted = ["ill/bad", "ill/both", "well/both", "well/good"]
        assert sorted(_published(run)) == wanted, says(
            f"Output: `when` says after which end it is collected, here {wanted}",
            sorted(_published(run)),
        )
        ill = run.task("ill")
        assert (ill.reason, ill.exit_code) == (FailureReason.EXIT_CODE, 3), says(
            "a task that fails has its own reason, whatever is collected of it", ill
        )

    def test_success_needs_every_required_output(self, trial: Trial) -> None:
        run = trial.run(
            Task("file", shell="echo x > there", outputs=["there", "promised"]),
            Task("pattern", shell="true", outputs=["promised-*"]),
            Task("free", shell="true", outputs=[Output("x", required=False)]),
        )
        for task in (run.task("file"), run.task("pattern")):
            ended = (task.state, task.reason, task.exit_code)
            assert ended == (TaskState.FAILED, FailureReason.OUTPUT_MISSING, 0), says(
                "a task that exits 0 without a required output fails with output_missing", task
            )
        assert run.task("free").state is TaskState.SUCCEEDED, says(
            "an output that is not required may be missing", run.task("free")
        )
        with pytest.raises(TasksFailed):
            _ = run.output_files

    def test_outputs_arrive_byte_for_byte(self, trial: Trial) -> None:
        binary = bytes(range(256)) * 5
        contents = {"a/binary": binary, "a/empty": b"", "a/large": binary * 2048}
        task = Task(
            "a",
            shell=": > empty; cp binary large; "
            "for double in 1 2 3 4 5 6 7 8 9 10 11; do cat large large > x; mv x large; done",
            resources=[Resource("binary", content=binary)],
            outputs=["binary", "empty", "large"],
        )
        run = trial.run(task)
        assert _published(run) == contents, says(
            "an output is what the task wrote, byte for byte",
            {name: len(content) for name, content in _published(run).items()},
        )
        told = {output.path: (output.size, output.sha256) for output in run.task("a").outputs}
        wanted = {
            name.removeprefix("a/"): (len(content), hashlib.sha256(content).hexdigest())
            for name, content in contents.items()
        }
        assert told == wanted, says("OutputFile: its size and SHA-256 are the file's own", told)

    def test_many_and_deep_outputs_all_arrive(self, trial: Trial) -> None:
        deep = "/".join(str(number) for number in range(30))
        shell = (
            f"i=0; while test $i -lt {_MANY}; do mkdir -p many/$((i % 10)); "
            "echo $i > many/$((i % 10))/$i; i=$((i + 1)); done; "
            f"mkdir -p deep/{deep}; echo deep > deep/{deep}/file"
        )
        run = trial.run(Task("a", shell=shell, outputs=["many/**", "deep/**"]))
        wanted = {f"a/{n % 10}/{n}": b"%d\n" % n for n in range(_MANY)}
        wanted[f"a/{deep}/file"] = b"deep\n"
        published = _published(run)
        assert published == wanted, says(
            f"a pattern collects every file, here {len(wanted)}",
            f"{len(published)} files; {run.task('a').reason} {run.task('a').detail}",
        )

    def test_hostile_names_are_collected_as_they_are(self, trial: Trial) -> None:
        given = [Resource(f"in/{name}", text=name) for name in HOSTILE_NAMES]
        task = Task(
            "a", shell="cp -- in/* .", resources=given, outputs=["*", Output("in/*", to="b")]
        )
        published = _published(trial.run(task))
        wanted = {f"{to}/{name}": name.encode() for name in HOSTILE_NAMES for to in ("a", "b")}
        assert published == wanted, says(
            "a name of a file means itself on every backend", sorted(published)
        )

    def test_links_inside_are_followed(self, trial: Trial) -> None:
        task = Task(
            "a",
            shell="mkdir d; echo 1 > one; echo 2 > d/two; ln -s one link; ln -s d folder",
            outputs=["link", "folder/two", Output("fold*/*", to="by-pattern")],
        )
        published = _published(trial.run(task))
        wanted = {"a/link": b"1\n", "a/folder/two": b"2\n", "by-pattern/folder/two": b"2\n"}
        assert published == wanted, says(
            "a link that stays inside the working directory is collected as what it names",
            published,
        )

    def test_nothing_outside_the_working_directory_is_read(self, trial: Trial) -> None:
        canary = trial.here / "canary"
        canary.write_text("not the task's")
        links = {
            "file": (f"ln -s {shlex.quote(str(canary))} out", "out"),
            "folder": (f"ln -s {shlex.quote(str(trial.here))} d; ln -s d/canary out", "out"),
            "pattern": ("ln -s ../stdout.txt out", "o*"),
        }
        run = trial.run(
            *(Task(name, shell=shell, outputs=[path]) for name, (shell, path) in links.items()),
            interruptions=0,
        )
        _require_unsafe(run, run.tasks)

    def test_what_is_no_plain_file_is_never_collected(self, trial: Trial) -> None:
        run = trial.run(
            Task("named", shell="mkfifo pipe", outputs=["pipe"]),
            Task("matched", shell="mkfifo pipe", outputs=["p*"]),
            Task("beside", shell="mkfifo pipe; echo x > plain", outputs=["plain"]),
            interruptions=0,
        )
        beside = run.task("beside")
        assert beside.state is TaskState.SUCCEEDED, says(
            "a pipe that no output names does no harm", beside
        )
        _require_unsafe(run, [run.task("named"), run.task("matched")])
        assert _published(run) == {"beside/plain": b"x\n"}, says(
            "only regular files are collected", _published(run)
        )

    def test_the_result_is_of_one_attempt_alone(self, trial: Trial) -> None:
        trial.needs("retries")
        task = Task(
            "a",
            shell='echo "$BATCHCORE_ATTEMPT" > result; '
            'echo x > "of-$BATCHCORE_ATTEMPT"; test "$BATCHCORE_ATTEMPT" = 2',
            outputs=[Output("result", when="always"), Output("of-*", when="always")],
            retries=1,
        )
        published = _published(trial.run(task))
        assert published == {"a/result": b"2\n", "a/of-2": b"x\n"}, says(
            "a task's result is published once, whole, from one attempt", published
        )

    def test_the_files_of_each_attempt_are_its_own(self, trial: Trial) -> None:
        shell = 'echo "$BATCHCORE_ATTEMPT" > result; echo x > "of-$BATCHCORE_ATTEMPT"'
        opened = trial.open(Task("a", shell=shell, outputs=["result", "of-*"]))
        for number in (1, 2):
            opened.submit("a", number=number)
            opened.end_of("a", number)
        for number in (1, 2):
            tree = open_tree(opened.files("a", number).tree, opened.backend.filesystem)
            names = {name for name in tree.names() if name in {"result", "of-1", "of-2"}}
            assert names == {"result", f"of-{number}"}, says(
                "outputs: the tree holds what the task's patterns match of this attempt, "
                "until release",
                f"attempt {number}: {sorted(names)}",
            )


def _published(run: Run) -> dict[str, bytes]:
    """Return every file in the run's ``outputs/``, by its name there."""
    root = run.directory / "outputs"
    files = [path for path in root.rglob("*") if not path.is_dir()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _require_unsafe(run: Run, tasks: list[TaskResult] | tuple[TaskResult, ...]) -> None:
    """Require that tasks failed for what they left, and that nothing of it was published."""
    for task in tasks:
        assert task.state is TaskState.FAILED, says(
            "only regular files inside the working directory are collected, and a task that "
            "leaves another as its output has failed",
            task,
        )
        assert task.reason in _UNSAFE, says(
            "outputs: what cannot be collected is output_unsafe, or output_upload where the "
            "backend itself carries files away",
            task,
        )
    published = {
        name for name in _published(run) if name.partition("/")[0] in {t.id for t in tasks}
    }
    assert not published, says("nothing from outside the working directory is read", published)
