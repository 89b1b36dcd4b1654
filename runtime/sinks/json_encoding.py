"""A record as JSON."""

from __future__ import annotations

import errno
import json
from typing import Any


def encode(value: Any) -> str:
    """``value`` as JSON on one line. numpy's numbers are written as plain ones.

    Raises:
        OSError: (EINVAL) it holds something that JSON has no word for, e.g. a number that is not finite. An OSError,
            since that is what a sink raises for a message that it cannot write.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise OSError(errno.EINVAL, f"this record is not JSON: {error}") from error


def _plain(value: Any) -> Any:
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__name__} {value!r}")
    return value.item()


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain)  # made once: each decision waits for it
