"""`slurm`: tasks as array jobs of a Slurm cluster whose nodes share a file system with you.

What has no command in it: `settings`, `options` (what `sbatch` is told), `script` (what runs on a
node), `containers` (how a command runs in an image), `answers` (what Slurm's programs print),
`outcome` (what that means). `commands` calls the programs, `errors` says what their complaints
mean. `arrays` remembers on disk what was submitted; `submit`, `watch`, `cancel`, `release` and
`check` are the steps that `backend` puts together.
"""
