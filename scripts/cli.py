"""`facet`: finds the command, runs it, and turns every mistake into one sentence and an exit code."""

import errno
import importlib
import io
import os
import sys
from typing import NoReturn

import click

#: Command name -> module of this package that holds a click command named `command`, and its line in the help.
COMMANDS = {
    "sample": ("sample", "Draw a tree of simple faces to try things on."),
    "pack": ("pack", "Pack a tree of labelled images into one HDF5 file."),
    "repack": ("repack", "Make one new packed file of one or several."),
    "inspect": ("inspect", "Say what is in an HDF5 file."),
    "verify": ("verify", "Compare an HDF5 file with its checksums."),
    "doctor": ("doctor", "Say what this machine offers."),
    "train": ("train", "Train a model on an HDF5 file, or resume a run."),
    "evaluate": ("evaluate", "Measure a run or a model on a split."),
    "predict": ("predict", "Classify pictures with a run or a model."),
    "features": ("features", "Write what a backbone makes of every image of a file."),
    "export": ("export", "Write a model for other programs: .pb, SavedModel, ONNX, LiteRT."),
    "verify-export": ("verify_export", "Measure an exported file in every runtime."),
    "import-weights": ("import_weights", "Turn weights of another framework into Keras weights."),
    "cache": ("cache", "List or clear what trainings keep to be faster."),
    "benchmark": ("benchmark", "Measure Facet beside what a user would pick instead."),
}

_NO_SPACE = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "disk quota exceeded"}


class LazyGroup(click.Group):
    """A click group that imports a command's module only when it is asked for, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Gives the names in the order in which they are used."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"scripts.{COMMANDS[cmd_name][0]}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command where there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from hdf5_helper.errors import did_you_mean

            raise click.UsageError(f"no command {args[0]!r}, {did_you_mean(args[0], COMMANDS)}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facet")
def facet() -> None:
    """Pack labelled faces into HDF5, train on them, resume, evaluate, export and predict.

    Estimates of gender and age err more for some people than for others: see docs/responsible-use.md.

    \b
    Example:
      facet sample faces --layout agegender
      facet pack faces faces.h5
      facet train faces.h5 --run first --label gender --backbone mobilenet --weights none
      facet export first first.pb
    """


def _fail(sentence: str, code: int = 1) -> NoReturn:
    click.echo(f"facet: {sentence}", err=True)
    sys.exit(code)


def _os_sentence(error: OSError) -> str:
    reason = _NO_SPACE.get(error.errno or 0, (error.strerror or str(error)).lower())
    return f"{error.filename}: {reason}" if error.filename else reason


def main() -> None:
    """Runs the command of `sys.argv`; 0 = done, 1 = a mistake the user can mend, 2 = usage, 130 = interrupted."""
    from hdf5_helper.errors import FacetError

    # TensorFlow takes it by itself only where there is AVX-512, and cannot train grouped convolutions without
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for stream in (sys.stdout, sys.stderr):
        # paths need not be UTF-8: a name that the terminal cannot show is escaped, never a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = facet.main(standalone_mode=False)
    except FacetError as error:
        _fail(str(error))
    except click.BadParameter as error:
        _fail(error.format_message(), 2 if isinstance(error, click.MissingParameter) else 1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "facet"
        _fail(f"{error.format_message()} See `{command} --help`.", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except OSError as error:
        if error.errno is None:
            raise
        _fail(_os_sentence(error))
    sys.exit(code if isinstance(code, int) else 0)
