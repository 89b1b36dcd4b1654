"""``tgkt-edge bundle``: keys, and signatures of bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bundle_app = typer.Typer(help="Sign bundles, and check who signed them.", no_args_is_help=True)

BundleArgument = Annotated[Path, typer.Argument(help="Bundle folder, as 'tgkt-edge export' writes it.")]

TrustOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Take the bundle only if it is signed with this public key (.pub) and no file was altered; repeatable: "
        "any of several."
    ),
]
"""``--trust`` of the commands that open bundles."""


@bundle_app.command("keygen", short_help="Make a key to sign with.")
def keygen_command(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="New private key; its public one is written to OUT.pub.")
    ],
    expires: Annotated[
        str | None, typer.Option(help="Last day on which bundles signed with it are taken: 2027-12-31.")
    ] = None,
) -> None:
    """Make a pair of Ed25519 keys: the private one signs and stays here, the public one goes onto devices."""
    from tgkt_edge.bundle.keys import generate_key

    found = generate_key(out, expires=expires)
    typer.echo(f"{out} (keep it secret) and {out}.pub (for --trust): key {found}", err=True)


@bundle_app.command("sign", short_help="Sign a bundle.")
def sign_command(
    bundle: BundleArgument,
    key: Annotated[Path, typer.Option(help="Private key, as 'tgkt-edge bundle keygen' writes it.")],
) -> None:
    """Sign a bundle's manifest, which names every file with its SHA-256. Signatures of other keys stay."""
    from tgkt_edge.bundle.signature import sign_bundle

    found = sign_bundle(bundle, key)
    typer.echo(f"{bundle}: signed with {found}", err=True)


@bundle_app.command("verify", short_help="Check who signed a bundle, and every file.")
def verify_command(
    bundle: BundleArgument,
    trust: Annotated[
        list[Path], typer.Option(help="Public key (.pub) that is trusted; repeatable: any of several.")
    ],
) -> None:
    """Check that a bundle is signed with a trusted key, and that no file was altered. Exit 4: it is not."""
    from tgkt_edge.bundle.signature import verify_signature

    result = verify_signature(bundle, trust)
    keys = ", ".join(result["keys"])
    typer.echo(
        f"{bundle}: signed with {keys}; {result['files']} files, all unchanged since they were signed",
        err=True,
    )
