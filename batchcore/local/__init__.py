"""Running tasks on this machine: one engine of slots, and a runner per way to run a command.

`engine` hands attempts to slots, keeps time limits and remembers how each attempt ended;
`runner` is what it asks of a way to run one command; `process` runs it as a child process;
`backend` is the backend contract on top of an engine, shared by every local backend.
"""
