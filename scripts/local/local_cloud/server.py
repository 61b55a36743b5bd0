"""Starts ministack, with the patches of this package applied, on a socket that the caller has bound.

    python -m local_cloud.server FD

The caller chooses the environment (see control.py); nothing is read from anywhere else.
"""

from __future__ import annotations

import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local_cloud import (
    authorization,
    cloudformation,
    distributed_map,
    export,
    imports,
    index_query,
    isolation,
    journal,
    schedules,
    streams,
    transport,
    versioned_reads,
)

PATCHES = (isolation, transport, authorization, cloudformation, schedules, journal, export, imports, streams, distributed_map, index_query, versioned_reads)


def main() -> None:
    """Applies the patches and serves until the process is told to end."""
    for patch in PATCHES:
        patch.apply()

    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = 75
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
