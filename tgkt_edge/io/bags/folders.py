"""Recordings of several files: one after the other, as ROS 2 splits them, or side by side, as depthai writes them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.mcap_file import McapFile
from tgkt_edge.io.bags.message import Bag, Message, Topic
from tgkt_edge.io.images import natural_key

SUFFIXES = (".mcap", ".db3")
_BESIDE_OAK = (".mp4", ".avi", ".json")  # what depthai writes beside its .mcap files


def parts_of(folder: Path) -> list[Path]:
    """The files of a recording in order; none where other files lie beside them: a folder of images is none."""
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    parts = [path for path in files if path.suffix in SUFFIXES]
    others = {path.suffix for path in files if path.suffix not in SUFFIXES}
    if not others <= {*_BESIDE_OAK} and not any(path.name == "metadata.yaml" for path in files):
        return []
    return sorted(parts, key=natural_key)


def open_parts(files: list[Path], open_one: Callable[[Path], Bag]) -> Bag:
    """A recording of several files. Of some that were cut off before their first message, as the last one is when the
    power goes, the others are read.

    Raises:
        DataError: none can be read.
    """
    bags: dict[Path, Bag] = {}
    unopened: dict[str, str] = {}
    for file in files:
        try:
            bag = open_one(file)
            bag.topics()
            bags[file] = bag
        except DataError as error:
            unopened[str(file)] = str(error).removeprefix(f"{file}: ")
            if file == files[-1] and not bags:
                raise
    streams = {file.stem: bag for file, bag in bags.items() if isinstance(bag, McapFile) and bag.of_depthai()}
    if streams:
        others = [file for file in bags if bags[file] not in streams.values()]
        unopened |= {str(file): "is left out: the files beside it are depthai's" for file in others}
        return _SideBySide(streams, unopened)
    return _InTurn([*bags.values()], unopened)


class _InTurn(Bag):
    """Files that hold the same topics, one after the other."""

    def __init__(self, bags: list[Bag], unopened: dict[str, str]) -> None:
        self._bags, self.unopened = bags, unopened
        self._topics: dict[str, Topic] = {}
        for bag in bags:
            for name, topic in bag.topics().items():
                self._topics.setdefault(name, topic)

    def topics(self) -> dict[str, Topic]:
        return self._topics

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        self.problem = ""
        problems = [f"{file}: {why}" for file, why in self.unopened.items()]
        for bag in self._bags:
            yield from bag.messages(names)
            if bag.problem:
                problems.append(bag.problem)
        self.problem = "; ".join(problems)


class _SideBySide(Bag):
    """Files of depthai, which writes each stream into a file of its own and calls all of them alike: topics are called
    as their files, and their messages come in the order in which they were recorded."""

    def __init__(self, files: dict[str, McapFile], unopened: dict[str, str]) -> None:
        self.unopened = unopened
        self._names: dict[str, tuple[McapFile, str]] = {}
        for stem, file in files.items():
            inner = [*file.topics()]
            self._names.update(
                {stem if len(inner) == 1 else f"{stem}/{name}": (file, name) for name in inner}
            )
        # One clock for all: each file's first message was recorded some time after it was taken, the least is nearest.
        shifts = [shift for file in files.values() if (shift := file.shift()) is not None]
        for file in files.values():
            file.set_shift(min(shifts, default=0.0))

    def topics(self) -> dict[str, Topic]:
        return {name: replace(file.topics()[inner], name=name) for name, (file, inner) in self._names.items()}

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        self.problem = ""
        asked = {name: self._names[name] for name in names if name in self._names}
        each = [self._named(name, *place) for name, place in asked.items()]
        yield from heapq.merge(*each, key=lambda message: message.received)
        problems = [f"{file}: {why}" for file, why in self.unopened.items()]
        read = {id(file): file for file, _ in asked.values()}
        self.problem = "; ".join([*problems, *(file.problem for file in read.values() if file.problem)])

    @staticmethod
    def _named(name: str, file: McapFile, inner: str) -> Iterator[Message]:
        for message in file.messages([inner]):
            yield replace(message, topic=replace(message.topic, name=name))
