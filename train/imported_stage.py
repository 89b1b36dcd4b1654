"""What a run does with a source model of another program first: its images, if there are some, and its scale."""

from __future__ import annotations

import shutil

from tgkt_edge.train.batches import Store
from tgkt_edge.train.methods.translation.features import extract
from tgkt_edge.train.methods.translation.source_features import kind_of
from tgkt_edge.train.nn.checkpoint import Header, save_checkpoint
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.source_import.header_keys import FITTED, IMPORT, KEPT
from tgkt_edge.train.source_import.own_images import OwnImages, keep_images, kept_lines
from tgkt_edge.train.source_import.scale import fit_scale, is_fitted
from tgkt_edge.train.stages import RunContext


def prepare_imported(
    context: RunContext, source: ImportedClassifier, header: Header, own: OwnImages | None, images: Store
) -> Header:
    """Bring an imported source model to the scale of all others, and keep it so; nothing where that was done before.

    Args:
        source: frozen, on the device; changed in place. own: its labelled images, where the run was given some.
        images: RGB of the pairs; without pairs the task's frames.

    Returns:
        The header that is stored with it.
    """
    run, folder, config, compute, log = (
        context.run, context.features, context.config, context.compute, context.log,
    )  # fmt: skip
    if own is not None and KEPT not in header.extra[IMPORT]:
        some = own

        def with_images() -> Header:
            found = keep_images(source, header, some, config, compute, log, folder)
            if compute.ranks.first:
                save_checkpoint(run.source, source, found)
            compute.ranks.wait()
            return found

        found = context.timed("source", with_images)
        for line in kept_lines(found):
            log.say(f"source: {line.strip()}")
        return found
    if is_fitted(header):
        return header
    views = config.translation.views if config.by_features else 1
    what = "RGB of pairs" if images.channels == 3 else "frames of the task to the source model"
    kind = kind_of(source, views)
    raw = extract(what, source.backbone, images, kind, config.image_size, config.batch, compute, log, folder)
    header = fit_scale(source, header, raw, what)
    compute.ranks.copy_from_first(source.state_dict().values())
    if compute.ranks.first:
        save_checkpoint(run.source, source, header)
    if compute.ranks.first and not config.by_features:
        shutil.rmtree(run.features, ignore_errors=True)
    fitted = header.extra[IMPORT][FITTED]
    log.say(
        f"source: logits divided by {fitted['temperature']:.3g}, features standardised, on the {what}: the "
        f"classes stay, and no loss depends on their scale"
    )
    return header
