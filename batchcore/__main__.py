"""``python -m batchcore`` is the command line."""

from batchcore.cli import main

if __name__ == "__main__":
    main()
