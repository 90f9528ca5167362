"""How the emulated account behaves."""

from __future__ import annotations

from msgspec import Struct

KEY = "CANARYbatchcoreEmulatorAccountKeyKnownToAll="


class Quota(Struct, kw_only=True):
    """What the account may hold at once; the only settings that change while it is served.

    The service's defaults differ from one account to another ("Batch service quotas and
    limits"); a new account may have no cores at all.
    """

    jobs: int = 300
    pools: int = 100
    dedicated_cores: int = 1000
    spot_cores: int = 1000


class EmulatorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account, its key and the habits of the service that a test may want otherwise."""

    account: str = "batchemulator"
    key: str = KEY
    #: Verify shared-key signatures; else anybody may call.
    signed: bool = True
    #: Accept any `Authorization: Bearer`, as the service accepts tokens of Entra.
    tokens: bool = False
    #: How far `ocp-date` may be from the clock; none means that it is not looked at.
    skew_seconds: float | None = 900
    #: How old a change must be before the task counts show it.
    counts_delay_seconds: float = 30
    #: The longest page, whatever a client asks for.
    page_size: int = 1000
    #: Put an empty page, with a link to the next, before each page.
    empty_pages: bool = False
    #: Jobs (and pools) that end stay `terminating` or `deleting` until `State.settle` is called.
    hold_endings: bool = False
