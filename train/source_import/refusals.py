"""Why the tensors of a file are no classifier that can be taken: what was found, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from tgkt_edge.bundle.conversion import FIND_TENSORS, quoted
from tgkt_edge.data.names import abbreviate
from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.architectures import TIMM, build
from tgkt_edge.train.source_import.tensors import prefixes

_OTHER_TASKS = (
    (r"(^|\.)(rpn|roi_heads|bbox_head|box_head|mask_head|bbox_embed|class_embed)\.", "an object detector"),
    (r"(^|\.)(dfl|cv2\.\d+\.\d+|anchor_grid|anchors)\.", "an object detector"),
    (r"^(head|model\.head)\.(classification_head|regression_head)\.", "an object detector"),
    (r"(^|\.)(decode_head|auxiliary_head|aux_classifier|seg_head|segmentation_head)\.", "a segmentation network"),
    (r"(^|\.)(low_classifier|high_classifier)\.", "a segmentation network"),
    (r"(^|\.)(keypoint|heatmap)", "a network for key points"),
    (r"^(text_model|transformer\.resblocks|token_embedding|positional_embedding)", "a network of images and text"),
)  # fmt: skip
"""Names of tensors that no classifier has."""

_ONNX = "export it to ONNX: it can be a teacher then"


def refuse_other_tasks(state: Mapping[str, Tensor], file: str) -> None:
    """Raise CheckpointError where the tensors answer for boxes, pixels or words and not for the whole image."""
    found = [(what, [name for name in state if re.search(pattern, name)]) for pattern, what in _OTHER_TASKS]
    # A classifier's own layers are linear, or convolutions of one pixel.
    wide = [
        n for n, t in state.items() if ".classifier." in f".{n}" and t.dim() == 4 and max(t.shape[2:]) > 1
    ]
    for what, named in [*found, ("a segmentation network", wide)]:
        if named:
            raise CheckpointError(
                f"{file}: holds {what} ({abbreviate(named)}). Expected a classifier: one answer for the whole image. "
                f"Train a source model from labelled RGB images with `source` instead."
            )


def refuse_without_linear_end(state: Mapping[str, Tensor], file: str, arch: str) -> None:
    """Raise CheckpointError where the tensors are those of ``arch``, one of the few that end with a convolution."""
    names = list(build(arch, 2, memory=False).state_dict())
    if any(all(prefix + name in state for name in names) for prefix in prefixes(state, names[0])):
        raise CheckpointError(
            f"{file}: is a {arch}, which does not end with a linear layer. Expected one from pooled features to the "
            f"classes; {_ONNX}."
        )


def refuse_unusable(tensors: Mapping[str, Tensor], file: str) -> None:
    """Raise CheckpointError where weights are non-finite, or a variance is negative: so would be all outputs."""
    for what, broken in (
        ("non-finite values", [name for name, t in tensors.items() if not t.isfinite().all()]),
        (
            "negative variances",
            [n for n, t in tensors.items() if n.endswith("running_var") and (t < 0).any()],
        ),
    ):
        if broken:
            raise CheckpointError(
                f"{file}: {what} in {len(broken)} of {len(tensors)} tensors ({abbreviate(broken)}): its training "
                f"diverged, or the file was damaged. Give the weights of an earlier epoch."
            )


def nearly(file: str, near: str, problems: list[str]) -> str | None:
    """What to do about a network that differs from ``near`` in one well-known way; None where it is another."""
    first = [
        p for p in problems if " is (" in p and re.search(r", [124], \d+, \d+\), expected \(\d+, 3, ", p)
    ]
    if first and len(first) == len(problems):
        channels = re.search(r"is \(\d+, (\d+)", first[0])
        assert channels is not None
        mend = {
            "1": "For a network of gray images repeat its first layer where it comes from: "
            "w = w.repeat(1, 3, 1, 1) / 3",
            "4": "What it learned of the fourth channel cannot be asked of RGB: bring one that was trained on RGB "
            "alone",
        }.get(channels[1], "Bring one that was trained on RGB")
        return (
            f"{file}: a {near} for images of {channels[1]} channel{'s' if channels[1] != '1' else ''}: {first[0]}. "
            f"Expected one for RGB. {mend}."
        )
    lost = [p for p in problems if p.endswith(("running_mean is missing", "running_var is missing"))]
    if lost and len(lost) == len(problems):
        return (
            f"{file}: a {near} whose normalization has no running statistics ({len(lost)} tensors missing, first "
            f"{lost[0].removesuffix(' is missing')}). In a file two networks look so. One with GroupNorm or LayerNorm "
            f"in place of BatchNorm: {_ONNX}. Or one of BatchNorm with track_running_stats=False, whose answer to an "
            f"image depends on the others of its batch: set it to True, run some batches of training images through "
            f"model.train(), save again."
        )
    return None


def unknown(
    state: Mapping[str, Tensor], file: str, arch: str | None, share: float, near: str, problems: list[str]
) -> str:
    """The message about tensors that fit no architecture, or not the one that was named.

    Args:
        arch: as the person named it. share: of its tensors that do not fit ``near``, the nearest, for ``problems``.
    """
    start = f"{file}: {len(state)} tensors ({abbreviate(sorted(state))})"
    ask = (
        f"Name the architecture with `arch`: one of torchvision's, or {TIMM}NAME; any other network: {_ONNX}."
    )
    if arch is not None:
        ask = f"Leave `arch` out, and torchvision's are recognized; or name the right one. Any other network: {_ONNX}."
    if not near or share > 0.5:
        whose = "those of no classifier of torchvision's" if arch is None else f"not those of a {arch}"
        return f"{start} are {whose}. {ask}"
    return nearly(file, near, problems) or (
        f"{start}: nearest is {near}, which they do not fit: {'; '.join(problems[:3])}"
        f"{f' and {len(problems) - 3} more' if len(problems) > 3 else ''}. {ask}"
    )


def not_explained(file: str, arch: str, head: str, names: Sequence[str]) -> str:
    """What to say of tensors that belong neither to the network nor to its last layer."""
    modules = sorted({f"{name.rpartition('.')[0] or name}" for name in names})
    without = " or ".join(f"(k + '.').startswith({quoted(f'{module}.')})" for module in modules)
    command = f" If they are no part of the classifier, remove them: {_keep(file, f'not ({without})')}"
    removable = len(modules) <= 6
    return (
        f"{file}: beside the {arch} and its last layer {head} it holds {abbreviate(list(names))}, which may take part "
        f"in its answers. Where they stand, and with which activations, no file of tensors tells: export the model to "
        f"ONNX, which does, and give that file: it can be a teacher.{command if removable else ''}"
    )


def keep_one(file: str, prefix: str) -> str:
    """A command that keeps the tensors after ``prefix`` alone."""
    return _keep(file, f"k.startswith({quoted(prefix)})")


def _keep(file: str, wanted: str) -> str:
    """A command that writes one.pth with those tensors whose name ``k`` is wanted."""
    load = f"torch.load({quoted(file)}, map_location='cpu', weights_only=True)"
    if file.endswith(".safetensors"):
        load = f"__import__('safetensors.torch').torch.load_file({quoted(file)})"
    return (
        f"python -c \"import torch; {FIND_TENSORS}; s = {{'.'.join(p for p in k.split('.') if p not in ('module', "
        f"'_orig_mod')): v for k, v in u({load}).items()}}; "
        f"torch.save({{k: v for k, v in s.items() if {wanted}}}, 'one.pth')\""
    )
