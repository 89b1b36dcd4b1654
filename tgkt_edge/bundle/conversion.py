"""A command that makes safetensors of what torch.save wrote, to be run where this program need not be installed."""

from __future__ import annotations

import re
from pathlib import Path

WRAPPERS = (
    "state_dict_ema", "model_ema_state_dict", "ema_state_dict", "model_ema", "ema_model", "ema",
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module",
)  # fmt: skip
"""Under which key training programs store a model's tensors; moving averages of the weights first."""

# As tgkt_edge.train.source_import.tensors.unwrap does it, and of whole modules besides.
_FIND = (
    "t, M = torch.is_tensor, torch.nn.Module; "
    "u = lambda m: u(m.state_dict()) if isinstance(m, M) else m "
    "if sum(map(t, m.values())) * 2 > len(m) and any(t(v) and v.dim() for v in m.values()) else "
    "u(next((m[k] for k in '{wrappers}'.split() if isinstance(m.get(k), (dict, M)) and m[k]), 0) "
    "or exit('no tensors of a model where they are looked for; there are ' + ', '.join(map(str, m))))"
)
FIND_TENSORS = _FIND.format(wrappers=" ".join(WRAPPERS))
"""Statements after ``import torch`` that define ``u``, which gives the state dict within what torch.load gave."""


def conversion(path: Path, name: str, *, whole_pickle: bool = False) -> str:
    """``python -c "..."``, to be run in a shell: it writes the model's tensors into the folder it is run in.

    Args:
        path: what torch.save wrote. name: how the command calls it. whole_pickle: whether it holds more than tensors,
            so that loading it runs what it names.
    """
    new = path.with_suffix(".safetensors").name
    if new == path.name:  # a pickle by a wrong name must not be written over
        new = f"{path.stem}-tensors.safetensors"
    script = (
        f"import torch; from safetensors.torch import save_file; {FIND_TENSORS}; "
        f"m = u(torch.load({quoted(name)}, map_location='cpu', weights_only={not whole_pickle})); "
        f"save_file({{str(k): v.detach().clone().contiguous() for k, v in m.items() if t(v)}}, {quoted(new)})"
    )
    return f'python -c "{script}"'


def quoted(text: str) -> str:
    """A Python string that stands between a shell's double quotes as it is, whatever a file is called."""
    return "'" + re.sub(r"""['"\\$`!]""", lambda found: f"\\x{ord(found[0]):02x}", text) + "'"
