"""The verb `config show`."""

from __future__ import annotations

from batchcore.cli.group import LazyGroup

config = LazyGroup(
    name="config",
    verbs={"show": ("batchcore.cli.configshow:show_config", "Show each setting and its origin.")},
    help="Show the settings and where they come from.",
    epilog="Example:  batchcore config show --backend local-docker",
)
