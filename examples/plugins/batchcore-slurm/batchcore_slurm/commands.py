"""Slurm's programs, called; the only place that starts one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from batchcore.errors import BackendError
from batchcore_slurm import answers, errors
from batchcore_slurm.answers import Row
from batchcore_slurm.options import Options

_SECONDS = 30.0
_WORDS_AT_ONCE = 200
# Nothing else of the controller's environment goes to Slurm, which would store it.
_KEPT = ("HOME", "LOGNAME", "PATH", "SLURM_CONF", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


class Slurm:
    """The cluster that this machine is set up for.

    Every method raises `EnvironmentNotReady` where there is no cluster, and `BackendError`,
    transient where its controller did not answer within 30 s.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Call nothing yet."""
        self._environ = {name: environ[name] for name in _KEPT if name in environ}
        self._config: Mapping[str, str] | None = None

    @property
    def config(self) -> Mapping[str, str]:
        """The cluster's configuration, asked for once."""
        if self._config is None:
            self._config = answers.config_values(self._output("scontrol", "show", "config"))
        return self._config

    def problem(self, options: Options) -> str | None:
        """Return why Slurm would refuse a job with these options, None where it would not."""
        words = ("--test-only", *options, "--input=/dev/null", "--output=/dev/null")
        done = self._run("sbatch", *words, script="#!/bin/sh\n")
        if done.returncode == 0:
            return None
        error = errors.complaint("sbatch", done.stderr, done.returncode)
        if isinstance(error, BackendError) and not error.transient:
            return errors.said_by(done.stderr)
        raise error

    def submit(self, options: Options, script: str) -> str:
        """Submit a job and return its id."""
        text = self._output("sbatch", "--parsable", *options, script=script)
        found = answers.job_id(text)
        if found is None:
            raise BackendError(f"sbatch named no job: {text.strip()[:200]!r}")
        return found

    def queue(self, name: str) -> Sequence[Row]:
        """Return what Slurm remembers of this user's jobs with a name, ended ones too."""
        words = ("--array", "--noheader", "--states=all", f"--Format={answers.QUEUE_FORMAT}")
        mine = (f"--user={os.geteuid()}", f"--name={name}")
        return list(answers.queue_rows(self._output("squeue", *mine, *words)))

    def accounted(self, jobs: Iterable[str]) -> Sequence[Row]:
        """Return how jobs that Slurm has forgotten ended, where the cluster keeps accounts."""
        if not self.config.get("AccountingStorageType", "").endswith("/slurmdbd"):
            return []
        words = ("--allocations", "--parsable2", "--noheader", "--starttime=1970-01-01")
        wanted = (f"--format={answers.ACCOUNT_FORMAT}", f"--jobs={','.join(jobs)}")
        return list(answers.account_rows(self._output("sacct", *words, *wanted)))

    def cancel(self, words: Sequence[str], *options: str) -> None:
        """Cancel or signal jobs; what has ended or is not there is left alone."""
        for start in range(0, len(words), _WORDS_AT_ONCE):
            done = self._run("scancel", *options, *words[start : start + _WORDS_AT_ONCE])
            if done.returncode != 0 and errors.is_passing(done.stderr):
                raise errors.complaint("scancel", done.stderr, done.returncode)

    def _output(self, program: str, *words: str, script: str | None = None) -> str:
        done = self._run(program, *words, script=script)
        if done.returncode != 0:
            raise errors.complaint(program, done.stderr, done.returncode)
        return done.stdout

    def _run(
        self, program: str, *words: str, script: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [program, *words],
                env=self._environ,
                input=script or "",
                capture_output=True,
                text=True,
                errors="surrogateescape",
                encoding="utf-8",
                check=False,
                timeout=_SECONDS,
            )
        except FileNotFoundError as exc:
            raise errors.missing(program) from exc
        except subprocess.TimeoutExpired as exc:
            config = self._environ.get("SLURM_CONF")
            if config and not Path(config).exists():
                raise errors.no_config(config) from exc
            raise errors.silent(program, _SECONDS) from exc
