"""How a benchmark whose finished cells are kept ends, when it fails or is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from tgkt_edge.errors import TgktEdgeError


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """Run ``main`` and exit with what it returns; 1 with the message of a TgktEdgeError, 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except TgktEdgeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)
