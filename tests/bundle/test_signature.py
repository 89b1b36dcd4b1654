"""Signed bundles: what is taken, what is refused, and what makes a signature void."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tgkt_edge
from tests.support.bundles import save_bundle
from tests.support.images import make_frames, save_frames
from tests.support.signing import pub, refused
from tgkt_edge.bundle.bundle import MANIFEST, SIGNATURE, Bundle
from tgkt_edge.bundle.signature import open_trusted, signed_with
from tgkt_edge.cli.main import app
from tgkt_edge.errors import BundleError, MissingDependency, UsageError

pytest.importorskip("cryptography")


def test_a_signed_bundle_is_taken_by_every_command_that_answers(
    tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    bundle = save_bundle(tmp_path / "b")
    frames = save_frames(tmp_path / "f", make_frames(2))
    trust = [pub(keys[0])]

    def every() -> list[Any]:
        out = tmp_path / "out.jsonl"
        commands: list[Callable[[], object]] = [
            lambda: tgkt_edge.run(bundle.path, str(frames), sinks=[f"jsonl:{out}"], live=False, trust=trust),
            lambda: tgkt_edge.predict(
                bundle.path, str(frames), tmp_path / "t.csv", overwrite=True, live=False, trust=trust
            ),
            lambda: tgkt_edge.verify(bundle.path, trust=trust),
            lambda: tgkt_edge.load(bundle.path, trust=trust).close(),
            lambda: tgkt_edge.load(bundle, trust=trust).close(),
            lambda: tgkt_edge.verify_signature(bundle.path, trust),
        ]
        answers = []
        for command in commands:
            try:
                command()
                answers.append("taken")
            except BundleError as error:
                answers.append(str(error))
        return answers

    before = every()
    assert len(before) == 6
    assert all("is not signed" in answer for answer in before)
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    assert every() == ["taken"] * 6
    tgkt_edge.run(bundle.path, str(frames), sinks=[f"jsonl:{tmp_path / 'x'}"], live=False)  # asks for no key


@pytest.mark.slow
def test_a_bundle_that_is_measured_or_built_on_is_signed_as_well(
    tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    bundle = save_bundle(tmp_path / "b")
    frames = save_frames(tmp_path / "f", make_frames(2))
    labelled = tmp_path / "labelled.csv"
    rows = [f"{frame},{bundle.classes[0]}" for frame in sorted(frames.iterdir())]
    labelled.write_text("\n".join(["frame,label", *rows]))
    trust = [pub(keys[0])]
    commands: dict[str, Callable[[], object]] = {
        "evaluate": lambda: tgkt_edge.evaluate(bundle.path, labelled, trust=trust),
        "benchmark": lambda: tgkt_edge.benchmark(
            bundle.path, engines=["cpu"], rounds=1, seconds=0.05, trust=trust
        ),
        "export": lambda: tgkt_edge.export(bundle.path, tmp_path / "again", verify=False, trust=trust),
        "adapt": lambda: tgkt_edge.adapt(frames, None, tmp_path / "run", continue_=bundle.path, trust=trust),
    }
    for command in commands.values():
        with pytest.raises(BundleError, match="is not signed"):
            command()
    assert not (tmp_path / "again").exists()
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    for name in ("evaluate", "benchmark", "export"):
        commands[name]()
    with pytest.raises(BundleError, match="cannot be read back"):  # this small network is no ResNet-50
        commands["adapt"]()
    assert signed_with(tmp_path / "again") == []


def test_a_run_folder_cannot_be_signed_so_trust_refuses_it(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("schema: 1")
    with pytest.raises(UsageError, match=r"run is no bundle, and only bundles are signed"):
        tgkt_edge.evaluate(tmp_path / "run", tmp_path, trust=[pub(keys[0])])
    with pytest.raises(UsageError, match="`trust` is for a bundle given with `continue_`"):
        tgkt_edge.adapt(tmp_path, "depth", tmp_path / "out", trust=[pub(keys[0])])


@pytest.mark.slow
def test_one_altered_byte_in_any_file_is_refused(bundle: Bundle, keys: tuple[Path, Path]) -> None:
    for key in keys:
        tgkt_edge.sign_bundle(bundle.path, key)
    trust = (pub(keys[0]), pub(keys[1]))
    open_trusted(bundle.path, trust)
    files = sorted(path for path in bundle.path.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {MANIFEST, SIGNATURE, "model.onnx", "fp32.plan"}
    tried = 0
    for path in files:
        whole = path.read_bytes()
        places = (
            range(len(whole)) if path.name == SIGNATURE else range(0, len(whole), max(1, len(whole) // 25))
        )
        for place in places:
            altered = bytearray(whole)
            altered[place] ^= 0x20 if chr(whole[place]).isalpha() else 0x01
            path.write_bytes(altered)
            with pytest.raises(BundleError):
                open_trusted(bundle.path, trust)
            tried += 1
        for cut in (whole[:-1], whole + b"\n", b""):
            path.write_bytes(cut)
            with pytest.raises(BundleError):
                open_trusted(bundle.path, trust)
        path.unlink()
        with pytest.raises(BundleError):
            open_trusted(bundle.path, trust)
        path.write_bytes(whole)
    assert tried > 300
    open_trusted(bundle.path, trust)


def test_a_manifest_cannot_be_replaced_by_that_of_another_signed_bundle_in_part(
    tmp_path: Path, bundle: Bundle, keys: tuple[Path, Path]
) -> None:
    other = save_bundle(tmp_path / "other")
    for one in (bundle, other):
        tgkt_edge.sign_bundle(one.path, keys[0])
    shutil.copy(other.path / SIGNATURE, bundle.path / SIGNATURE)
    assert "is not what was signed with" in refused(bundle.path, pub(keys[0]))
    shutil.copy(other.path / MANIFEST, bundle.path / MANIFEST)
    open_trusted(
        bundle.path, (pub(keys[0]),)
    )  # now it is that bundle: what the manifest does not name is not loaded
    assert set(Bundle.open(bundle.path).files) == {"model.onnx"}


def test_a_bundle_that_is_changed_is_no_longer_signed(
    bundle: Bundle, keys: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    assert SIGNATURE not in Bundle.open(bundle.path).write().files
    assert "was signed and is changed now: sign it again" in caplog.text
    assert "is not signed" in refused(bundle.path, pub(keys[0]))
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    (bundle.path / "engines" / "new.plan").write_bytes(b"another")
    open_trusted(bundle.path, (pub(keys[0]),))  # a file that nobody names is not the bundle's
    Bundle.open(bundle.path).replace_files(["engines/new.plan"])
    assert "is not signed" in refused(bundle.path, pub(keys[0]))


def test_rebuilding_a_plan_and_trusting_a_key_contradict_each_other(
    bundle: Bundle, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="its signature no longer holds"):
        tgkt_edge.run(bundle.path, str(tmp_path), rebuild=True, trust=[pub(keys[0])])


def test_commands(tmp_path: Path, bundle: Bundle) -> None:
    def invoke(*words: object) -> Any:
        return CliRunner().invoke(app, ["bundle", *map(str, words)])

    key = tmp_path / "k"
    made = invoke("keygen", "-o", key, "--expires", "2100-01-01")
    assert made.exit_code == 0
    assert f"{key}.pub (for --trust)" in made.stderr
    assert invoke("verify", bundle.path, "--trust", pub(key)).exit_code == 4
    assert invoke("sign", bundle.path, "--key", key).exit_code == 0
    done = invoke("verify", bundle.path, "--trust", pub(key))
    assert done.exit_code == 0
    assert "files, all unchanged since they were signed" in done.stderr
    wrong = invoke("sign", bundle.path, "--key", pub(key))
    assert wrong.exit_code == 2
    assert "a .pub file is for --trust" in wrong.stderr
    assert json.loads((bundle.path / SIGNATURE).read_text())["schema"] == 1


def test_without_cryptography_it_is_named(
    bundle: Bundle, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match=r"\[sign\]"):
        open_trusted(bundle.path, (pub(keys[0]),))
    open_trusted(bundle.path)  # no key was asked for
