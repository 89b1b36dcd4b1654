"""The command line: parse, call, report. The thinking is in the Python function of the same name.

Human text goes to stderr, machine output to stdout. Libraries are imported inside the commands, so that ``--help``
answers at once and a device needs only what it uses.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from tgkt_edge import __version__
from tgkt_edge.cli.adapt import adapt_command
from tgkt_edge.cli.audit import audit_command
from tgkt_edge.cli.benchmark import benchmark_command
from tgkt_edge.cli.bundle import bundle_app
from tgkt_edge.cli.compare import compare_command
from tgkt_edge.cli.data import data_app
from tgkt_edge.cli.demo import demo_command
from tgkt_edge.cli.doctor import doctor_command
from tgkt_edge.cli.evaluate import evaluate_command
from tgkt_edge.cli.export import export_command
from tgkt_edge.cli.flags import as_flags, use_positional
from tgkt_edge.cli.groups import CommandGroup
from tgkt_edge.cli.inspect import inspect_command
from tgkt_edge.cli.log import configure, wants_traceback
from tgkt_edge.cli.predict import predict_command
from tgkt_edge.cli.record import record_command
from tgkt_edge.cli.run import SINK_OPTIONS, run_command
from tgkt_edge.cli.source import source_app
from tgkt_edge.cli.streams import leave_below_loader, prepare_streams, settle_stdout
from tgkt_edge.cli.verify import verify_command
from tgkt_edge.errors import EXIT_INTERRUPTED, TgktEdgeError
from tgkt_edge.notes import forget_notes, phrased


class _Group(CommandGroup):
    """Turns the errors of tgkt_edge.errors into a message and their exit code, for every command alike."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with phrased(as_flags):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except TgktEdgeError as error:
            if wants_traceback(ctx):
                traceback.print_exception(error)
            typer.echo(f"error: {as_flags(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:  # of a file that nothing above expected to fail
            if error.errno == errno.EPIPE:  # nobody reads our output any more: not an error of ours
                raise
            if wants_traceback(ctx):
                traceback.print_exception(error)
            where = _no_folder() if error.filename is None else f"{error.filename}: "
            typer.echo(f"error: {where}{error.strerror or error}", err=True)
            raise typer.Exit(TgktEdgeError.exit_code) from None
        finally:
            use_positional({})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands under what a person wants to do: each command's ``rich_help_panel``, in plain text."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            groups.setdefault(command.rich_help_panel, []).append((name, command.get_short_help_str()))
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _no_folder() -> str:
    """The likely reason of an error that names no file: a relative path in a folder that was deleted."""
    try:
        os.getcwd()
    except OSError:
        return "the current folder: "
    return ""


# No rich markup: plain help reads the same in a terminal, a pipe and a bug report.
app = typer.Typer(
    name="tgkt-edge",
    cls=_Group,
    help="Adapt an RGB scene classifier to a depth or NIR sensor without labels, export it, run it on the device.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 a check was not passed, 4 incompatible bundle or engine, "
    "5 source lost or unusable, 6 a library is missing, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of ``tgkt-edge``. Never returns: raises SystemExit with the exit code."""
    prepare_streams()
    try:
        app(prog_name="tgkt-edge")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        settle_stdout()
        leave_below_loader()


def _print_version(show: bool) -> None:
    if show:
        typer.echo(f"tgkt-edge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Begin: what was logged before is no longer known, and what will be goes to stderr."""
    forget_notes()
    configure(context)


for _name, _panel, _function, _short in (
    ("demo", "Adapt", demo_command, "The whole job on scenes that it renders itself."),
    ("record", "Adapt", record_command, "Record a camera bit for bit, or pairs from two cameras."),
    ("adapt", "Adapt", adapt_command, "Train a network for the sensor, without labels."),
    ("evaluate", "Check", evaluate_command, "Measure accuracy on labelled frames."),
    ("audit", "Check", audit_command, "Label a few frames by hand: accuracy with an interval."),
    ("compare", "Check", compare_command, "Show where two bundles answer differently."),
    ("export", "Export", export_command, "Write a verified bundle, or build its TensorRT plans."),
    ("verify", "Export", verify_command, "Check a bundle and its precisions on this machine."),
    ("run", "Run", run_command, "Classify the frames of a camera or recording."),
    ("predict", "Run", predict_command, "Classify recorded frames into a table."),
    ("doctor", "Look after", doctor_command, "Report what is installed here and what works."),
    ("inspect", "Look after", inspect_command, "Show what a bundle, an ONNX file or a plan holds."),
    ("benchmark", "Look after", benchmark_command, "Time all precisions on all engines of this machine."),
):
    app.command(
        _name, short_help=_short, rich_help_panel=_panel, epilog=SINK_OPTIONS if _name == "run" else None
    )(_function)
app.add_typer(
    data_app,
    name="data",
    cls=CommandGroup,
    short_help="Prepare, import and check data; list presets.",
    rich_help_panel="Adapt",
)
app.add_typer(
    source_app,
    name="source",
    cls=CommandGroup,
    short_help="Import an RGB classifier of another program.",
    rich_help_panel="Adapt",
)
app.add_typer(
    bundle_app,
    name="bundle",
    cls=CommandGroup,
    short_help="Sign bundles, and check who signed them.",
    rich_help_panel="Export",
)


if __name__ == "__main__":
    main()
