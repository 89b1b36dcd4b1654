"""``run --rebuild``: a plan that does not load here, built again as it was."""

from __future__ import annotations

import dataclasses

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engines import readable
from tgkt_edge.trt.monitor import Progress
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import Say, build_plans


def rebuild_plan(
    bundle: Bundle,
    precision: str,
    *,
    options: BuildOptions | None = None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> Bundle:
    """Build the plan of one precision on this machine, with batch sizes, workspace and level of an earlier one.

    Until the new plan is complete the bundle keeps those it has; one for other GPUs stays.

    Args:
        options: instead of an earlier plan's.

    Returns:
        The bundle with the new plan.

    Raises:
        TgktEdgeError: see :func:`tgkt_edge.trt.write.build_plans`.
    """
    return build_plans(
        bundle.path, [precision], options or _as_before(bundle, precision), say=say, progress=progress
    )


def _as_before(bundle: Bundle, precision: str) -> BuildOptions:
    """Options of the bundle's plan of this precision; the defaults where there is none that can be read."""
    options = BuildOptions()
    earlier, _ = readable(bundle, precision)
    if not earlier:
        return options
    sidecar = earlier[0].sidecar
    level, workspace = (sidecar.build.get(key) for key in ("optimisation", "workspace_mib"))
    return dataclasses.replace(
        options,
        profile=sidecar.profile,
        level=level if isinstance(level, int) else options.level,
        workspace_mib=workspace if isinstance(workspace, int) else None,
    )
