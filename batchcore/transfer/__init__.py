"""Moving files: staging resources into a store, collecting outputs out of a task's files.

Only fsspec, never a cloud's SDK. Everything that lands in a final place was written under a
temporary name beside it, verified by size and SHA-256, and renamed. `files` has the primitives,
`stage` fills a store and a working directory, `collect` reads what a task left, `logs` its logs.
"""
