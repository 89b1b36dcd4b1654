"""Groups of commands that refuse an option that is given twice and takes one value, and addresses in place of files."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

import typer
import typer.core

from tgkt_edge.cli.flags import use_positional
from tgkt_edge.cli.log import log_options
from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import redacted

_TAKE_ADDRESSES = frozenset({"camera", "rgb", "sink", "origin", "set_", "token"})
"""Options whose value may be an address, or any text. All others name files and the like."""

_ADDRESS = re.compile(
    r"(?i)([\w-]+=)?((rtsps?|https?|mqtts?|rtmps?|rtp|udp|tcp|srt|ftp):/|[a-z][a-z0-9+.-]*:/.*@)"
)

_ParserError: type[Exception] = typer.BadParameter.__mro__[1]  # its base, which typer does not export


class CommandGroup(typer.core.TyperGroup):
    """Checks the arguments of each of its commands before they are used; of two values, the parser keeps the last.
    Every command has the options of :mod:`.log`, and so has the group. Usage lines and messages name what has no flag
    by one word: ``BUNDLE``."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params += log_options()
        for command in self.commands.values():
            for parameter in command.params:
                if parameter.param_type_name == "argument" and parameter.metavar is None:
                    parameter.metavar = str(parameter.name).upper()
            if not isinstance(command, typer.core.TyperGroup):
                command.params += log_options()

    def invoke(self, ctx: Any) -> Any:
        """Run the command. What the parser says of words that it does not expect is shown without passwords: a camera's
        address may stand in the wrong place."""
        try:
            return super().invoke(ctx)
        except _ParserError as error:
            message = str(getattr(error, "message", ""))
            error.message = re.sub(r"[^\s'\"()]+", lambda word: redacted(word.group()), message)  # type: ignore[attr-defined]
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that ``args`` begin with. Raises UsageError (exit 2) where an option is repeated or empty, or
        where an address stands for a file."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            arguments = [one for one in command.params if one.param_type_name == "argument"]
            use_positional({str(one.name): _shown(one) for one in arguments})
            _refuse(command.context_class(command, info_name=name, parent=ctx), command, rest)
        return name, command, rest


def _refuse(ctx: Any, command: Any, args: list[str]) -> None:
    """Raise UsageError where one value is given twice, where one is empty (a path of no characters is the current
    folder), and where one is an address but names a file: messages would show its password."""
    values, _, order = command.make_parser(ctx).parse_args(list(args))
    for parameter in order:
        value = values[parameter.name]
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise UsageError(f"{_shown(parameter)}: empty. Is a variable of the shell not set?")
        if parameter.name not in _TAKE_ADDRESSES:
            for given in value if isinstance(value, list | tuple) else [value]:
                _refuse_address(parameter, given)
    for parameter, times in Counter(order).items():
        one_value = parameter.param_type_name == "option" and not (parameter.multiple or parameter.count)
        # --overwrite twice means what it means once; --live and --no-live contradict each other.
        if one_value and times > 1 and (not parameter.is_flag or parameter.secondary_opts):
            flag = _shown(parameter)
            secret = parameter.is_flag or parameter.name == "token"
            kept = "" if secret else f" (the last was {redacted(str(values[parameter.name]))!r})"
            raise UsageError(f"{flag}: given {times} times{kept}, and it takes one value. Give it once.")


def _refuse_address(parameter: Any, given: object) -> None:
    if isinstance(given, str) and _ADDRESS.match(given) and not os.path.lexists(given):
        shown = redacted(re.sub("(?<=:)/+", "//", re.sub(r"^[\w-]+=", "", given), count=1))
        raise UsageError(
            f"{_shown(parameter)} {shown}: an address is not accepted here. Of a camera record frames first "
            f"(tgkt-edge record --camera), and download files first."
        )


def _shown(parameter: Any) -> str:
    option = parameter.param_type_name == "option"
    return max(parameter.opts, key=len) if option else parameter.metavar or str(parameter.name).upper()
