"""Many tasks at once: all end, every result is right, and one answer tells of them all."""

from __future__ import annotations

from batchcore.model import Resource, Task
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial


class Scale(Group):
    """As many tasks as the subject calls many."""

    def test_many_tasks_each_give_their_own_result(self, trial: Trial) -> None:
        names = [f"t{number}" for number in range(trial.subject.copies)]
        shell = 'cat in.txt; : >"of-$BATCHCORE_TASK_ID"; ls >out.txt'
        run = trial.run(
            *(
                Task(
                    name,
                    shell=shell,
                    resources=[Resource("in.txt", text=name)],
                    outputs=["out.txt"],
                )
                for name in names
            )
        )
        odd = [task for task in run.tasks if task.state != "succeeded"]
        assert not odd, says("every one of many tasks succeeds", odd[:3])
        logs = {name: run.log(name).decode() for name in names}
        wrong = {name: log for name, log in logs.items() if log != name}
        assert not wrong, says("each task has its own resources", wrong)
        files = {task.id: task.outputs[0].file.read_text().split() for task in run.tasks}
        foreign = {
            name: listed
            for name, listed in files.items()
            if set(listed) != {"in.txt", f"of-{name}", "out.txt"}
        }
        assert not foreign, says("no task sees the files of another", foreign)

    def test_one_answer_tells_of_all_tasks(self, trial: Trial) -> None:
        names = [f"t{number}" for number in range(6)]
        run = trial.open(*(Task(name, shell="true") for name in names))
        run.submit()
        for name in names:
            run.end_of(name)
        ended = sorted(update.task_id for update in run.poll_all() if update.state.final)
        assert sorted(set(ended)) == sorted(names), says(
            "poll: one answer for the whole run", f"one answer told the end of {ended}"
        )
