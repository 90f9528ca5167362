"""The lines of POSIX sh that a node executes.

Slurm gets one short script for a whole array job. Each element of it reads the lines of its own
attempt from the shared file system. These leave marks, files that the controller looks for:
``begun`` is made by the first execution and stops a second one, ``running`` says that the command
starts, ``exit`` how it ended. A signal USR1, or the end of the task's time, sends TERM to all that
the task has started and after its grace time KILL; USR2 sends KILL at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from batchcore.local import Attempt
from batchcore.transfer import resource_url
from batchcore_slurm.containers import Wrapped

UNSEEN = 66
TAKEN = 75
_TRIES = 10
# Tried with bash 5.2 and dash 0.5.12: to export one of these ends the shell, or has no effect.
_OF_THE_SHELL = frozenset(
    {
        *("BASHOPTS", "BASHPID", "BASH_ARGC", "BASH_ARGV", "BASH_COMMAND", "BASH_LINENO"),
        *("BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME"),
        *("EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD", "LINENO", "OPTIND", "PPID"),
        *("RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "SRANDOM", "UID", "_"),
    }
)

_ARRAY = """\
#!/bin/sh
trap : USR1 TERM INT HUP
script={directory}/$SLURM_ARRAY_TASK_ID.sh
tried=0
until [ -r "$script" ]; do
    tried=$((tried + 1))
    [ "$tried" -lt {tries} ] || exit {unseen}
    sleep 1
done
. "$script"
"""

_ATTEMPT = """\
marks={marks}
why=$marks.why
child=
asked=
stopping=
killer=
watcher=
write_end() {{ printf '%s\\n' "$1 $2" >"$marks.$3" && mv -f "$marks.$3" "$marks.exit"; }}
fail() {{ write_end "$1" "$2" ended; exit "$1"; }}
word() {{ if [ -e "$marks.timeout" ]; then echo timeout; else echo -; fi; }}
terminate() {{
    [ -z "$stopping" ] || return 0
    stopping=1
    (
        trap '' TERM
        kill -TERM 0
        sleep {grace}
        {kill}
        write_end 137 "$(word)" killed
        kill -KILL 0
    ) &
    killer=$!
}}
set -C
printf '%s\\n' "$SLURM_ARRAY_JOB_ID" >"$marks.begun" || exit {taken}
set +C
trap 'asked=1; [ -z "$child" ] || terminate' USR1
trap '{kill}; kill -KILL 0' USR2
trap : TERM INT HUP
mkdir -p -m 700 {working_directory} 2>"$why" || fail 73 resource
{resources}{before}[ ! -e "$marks.canceled" ] || fail 143 -
: >"$marks.running"
(
    trap : TERM INT HUP
    (
        trap {not_started} EXIT
        cd {working_directory} || exit
        if [ -n "${{BASH_VERSION-}}" ]; then shopt -s execfail; fi
        set -- {command}
{exports}        exec "$@" || exit
    )
    printf '%s\\n' "$?" >{marks}.code
) </dev/null >{stdout} 2>{stderr} &
child=$!
[ -z "$asked" ] || terminate
{watchdog}while kill -0 "$child" 2>/dev/null; do wait "$child"; done
read -r code <"$marks.code" || code=137
ended=$(word)
trap '' USR1
[ -z "$killer" ] || kill -KILL "$killer"
[ -z "$watcher" ] || {{
    kill -TERM "$watcher"
    sleep 0.05  # a watcher that has only just begun may not have heard that
    kill -KILL "$watcher"
    wait "$watcher"
}} 2>/dev/null
[ ! -e "$marks.unstarted" ] || fail "$code" start_failed
write_end "$code" "$ended" ended
trap '' HUP
kill -HUP 0
exit "$code"
"""

_WATCHDOG = """\
(
    sleep {seconds} &
    trap "kill $!; wait $!; exit" TERM
    wait "$!" && : >"$marks.timeout" && kill -USR1 $$
) &
watcher=$!
"""


def array_script(directory: Path) -> str:
    """Return what Slurm executes for every element of an array job.

    A file that was written a moment ago may not be seen on another machine at once.
    """
    return _ARRAY.format(directory=shlex.quote(str(directory)), tries=_TRIES, unseen=UNSEEN)


def attempt_script(attempt: Attempt, wrapped: Wrapped, store: Path, marks: Path) -> str:
    """Return what a node executes for one attempt; `marks` is what its marks' names begin with."""
    limit = attempt.task.timeout
    exports = "".join(
        f"        export {name}={shlex.quote(value)}\n"
        for name, value in wrapped.exports.items()
        if name not in _OF_THE_SHELL
    )
    return _ATTEMPT.format(
        marks=shlex.quote(str(marks)),
        not_started=shlex.quote(f": >{shlex.quote(str(marks))}.unstarted"),
        grace=_seconds(attempt.task.grace),
        kill=wrapped.kill,
        taken=TAKEN,
        working_directory=shlex.quote(str(attempt.working_directory)),
        resources=_resources(attempt, store),
        before=wrapped.before,
        command=shlex.join(_command(wrapped)),
        exports=exports,
        stdout=shlex.quote(str(attempt.task_directory / "stdout.txt")),
        stderr=shlex.quote(str(attempt.task_directory / "stderr.txt")),
        watchdog=_WATCHDOG.format(seconds=_seconds(limit)) if limit else "",
    )


def _command(wrapped: Wrapped) -> Sequence[str]:
    """Return the command, started by ``env`` where it has a variable that a shell keeps to itself.

    There alone a program that does not exist is told as exit code 127.
    """
    kept = [f"{name}={wrapped.exports[name]}" for name in wrapped.exports if name in _OF_THE_SHELL]
    return ["/usr/bin/env", *kept, *wrapped.argv] if kept else wrapped.argv


def _resources(attempt: Attempt, store: Path) -> str:
    """Return a line for each resource; ``install`` makes the directories too."""
    return "".join(
        f"install -D -m {file.mode} -- {shlex.quote(resource_url(str(store), file.key))} "
        f"{shlex.quote(str(attempt.working_directory / file.path))} "
        '2>"$why" || fail 74 resource\n'
        for file in attempt.task.files
    )


def _seconds(value: float) -> str:
    return f"{value:.3f}"
