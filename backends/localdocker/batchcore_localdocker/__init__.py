"""The batchcore backend `local-docker`: every task in a container of this machine's Docker.

`plugin` and `settings` describe the backend and import no SDK; `backend` puts it together on
first use. `runner` runs an attempt in a container of its own: `translate` says what to create,
`containers` finds and changes it, `ending` reads how it ended, and `patience` bridges a restart
of the daemon. `images` knows what is here and at a registry, `pull` fetches it, `check` says what
can be said beforehand; `connection` reaches the daemon and `errors` says what its exceptions mean.
"""
