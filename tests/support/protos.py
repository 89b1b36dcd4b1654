"""Messages of Google's protobuf library, of schemas written down as tables, and the schemas as MCAP files hold them."""

from __future__ import annotations

from typing import Any

import pytest

descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2", reason="needs protobuf")
descriptor_pool = pytest.importorskip("google.protobuf.descriptor_pool", reason="needs protobuf")
message_factory = pytest.importorskip("google.protobuf.message_factory", reason="needs protobuf")

Protos = dict[str, list[tuple[str, int, str]]]
"""Messages by their full names: name, number and type of each field. * is a repeated one; a type with a dot in it is a
message; "enum" is a number of 32 bits."""


def message_classes(protos: Protos, file_name: str) -> tuple[dict[str, Any], bytes]:
    """The class of each message by its full name, and the FileDescriptorSet that describes them."""
    files: dict[str, Any] = {}
    packages = {name.rpartition(".")[0] for name in protos}
    for package in sorted(packages):
        own = [fields for name, fields in protos.items() if name.rpartition(".")[0] == package]
        used = {kind.rstrip("*").rpartition(".")[0] for fields in own for *_, kind in fields}
        file = files[package] = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.{file_name}", package=package, syntax="proto3"
        )
        file.dependency.extend(f"{other}.{file_name}" for other in sorted(used & packages - {package}))
        for full, fields in protos.items():
            if full.rpartition(".")[0] == package:
                _describe(file.message_type.add(name=full.rpartition(".")[2]), fields)
    described = descriptor_pb2.FileDescriptorSet(file=files.values())
    return classes_of(described.SerializeToString(), [*protos]), described.SerializeToString()


def _describe(made: Any, fields: list[tuple[str, int, str]]) -> None:
    for field, number, kind in fields:
        plain = kind.rstrip("*")
        one = made.field.add(name=field, number=number)
        one.label = one.LABEL_REPEATED if kind.endswith("*") else one.LABEL_OPTIONAL
        if "." in plain:
            one.type, one.type_name = one.TYPE_MESSAGE, f".{plain}"
        else:
            one.type = getattr(one, f"TYPE_{'INT32' if plain == 'enum' else plain.upper()}")


def classes_of(descriptors: bytes, names: list[str]) -> dict[str, Any]:
    """The classes of some messages of a FileDescriptorSet."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}
