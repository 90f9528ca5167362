"""The batchcore backend `local-docker`: every task in a container of this machine's Docker.

`plugin` and `settings` describe the backend and import no SDK; `backend` puts it together on
first use. `runner` runs one attempt in one container: `translate` says what to create, `ending`
how it ended, `images` where images come from, `check` what can be said beforehand, `connection`
how to reach the daemon and `errors` what its exceptions mean here.
"""
