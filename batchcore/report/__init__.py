"""What is known of a run as text and as data: pure functions, no input and no output.

`text` has the pieces (escaping, tables, counts); `run` renders one run and a list of runs, `plan`
a dry run, `backends` the installed backends; `data` gives what ``--json`` prints.
"""
