"""The batchcore backend `local-docker`: every task in a container of this machine's Docker.

`plugin` and `settings` describe the backend and import no SDK; `backend` puts it together on
first use. `runner` runs an attempt in a container of its own. `launch` makes and starts it:
`translate` says what to create, `networks` which network it joins, `sharing` finds out whether
the daemon sees this machine's files, and `copying` with `unpacking` carries them where it does
not. `containers` finds and changes containers, `ending` and `exits` read how one ended, and
`patience` bridges a restart of the daemon. `images` knows what is here and at a registry, `pull`
fetches it, `check` says what can be said beforehand; `connection` reaches the daemon and
`errors` says what its exceptions mean.
"""
