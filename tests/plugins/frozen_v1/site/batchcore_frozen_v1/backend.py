"""The nine methods of the contract; `engine` knows how things are done."""

from collections.abc import Sequence

from batchcore import backend as api
from batchcore.plan import Plan
from batchcore.transfer import UnsafeFile, open_beneath

from batchcore_frozen_v1 import engine
from batchcore_frozen_v1.settings import FrozenV1Settings


class FrozenV1Backend(api.Backend):
    def __init__(self, settings: FrozenV1Settings) -> None:
        self._settings = settings

    def check(self, plan: Plan) -> api.Check:
        return engine.require()

    def store(self, run: api.RunContext) -> str:
        (run.directory / "work" / "store").mkdir(parents=True, exist_ok=True)
        return f"file://{run.directory}/work/store"

    def submit(self, run: api.RunContext, tasks: Sequence[api.TaskSubmission]) -> None:
        for attempt in tasks:
            engine.accept(run, attempt)
            engine.start(run, attempt, self._settings)

    def poll(self, run: api.RunContext, cursor: str, wait: float) -> api.Snapshot:
        return api.Snapshot(updates=[engine.watch(*found) for found in engine.attempts(run)])

    def read_log(
        self, run: api.RunContext, attempt: api.TaskSubmission, stream: api.Stream, offset: int
    ) -> api.LogChunk:
        place, most = engine.place_of(run, attempt), 1 << 20
        ended = engine.look(attempt.task, place).state.final
        try:
            with open_beneath(place, f"{stream}.txt") as file:
                file.seek(offset)
                data = file.read(most)
        except (FileNotFoundError, UnsafeFile):
            data = b""
        return api.LogChunk(data, ended and len(data) < most)

    def cancel(self, run: api.RunContext, task_ids: Sequence[str]) -> None:
        for task, place in engine.attempts(run):
            if task.id in task_ids and not engine.look(task, place).state.final:
                engine.stop(place, "canceled")

    def outputs(self, run: api.RunContext, attempt: api.TaskSubmission) -> api.TaskFiles:
        url = f"file://{engine.place_of(run, attempt)}"
        return api.TaskFiles(
            tree=f"{url}/wd", stdout=f"{url}/stdout.txt", stderr=f"{url}/stderr.txt"
        )

    def release(self, run: api.RunContext, *, dry_run: bool) -> Sequence[str]:
        return engine.leftovers(run) if dry_run else engine.remove(run)

    def close(self) -> None:
        pass
