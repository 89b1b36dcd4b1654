"""What the data of a run held when it began, so that it does not go on with other frames, other pairs or another model.

Bytes of files are compared, not decoded pixels: another machine's OpenCV may round otherwise, and the run may go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tgkt_edge.data.digests import FileDigests


@dataclass(frozen=True)
class DataDigests:
    """What was read of each input; nothing of one that was not given."""

    target: FileDigests = field(default_factory=FileDigests)
    paired: FileDigests = field(default_factory=FileDigests)
    source: FileDigests = field(default_factory=FileDigests)
    old: FileDigests = field(default_factory=FileDigests)

    def contents(self) -> dict[str, str]:
        """Name of an input that holds images -> how many files, and a SHA-256 over their names, labels and bytes."""
        inputs = {"target": self.target, "paired": self.paired, "source": self.source, "old_frames": self.old}
        return {name: digests.summary() for name, digests in inputs.items() if digests.rows}
