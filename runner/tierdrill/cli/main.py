"""The command `tierdrill`: global options, the table of commands, and one place where every error ends as a clear line.

Only click is imported here: `tierdrill --help` and tab completion must not wait for the rest.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tierdrill import __version__
from tierdrill.cli.command_table import CommandTable
from tierdrill.cli.errors import BAD_INPUT, INCONCLUSIVE, Refusal, explain, say
from tierdrill.cli.folders import Surroundings, find_catalogue, find_home, find_tools
from tierdrill.cli.standard_streams import UNREAD, OutputLost, hold_standard_streams, reader_gone, say_output_is_lost

EPILOG = (
    "Exit codes: 0 passed, 1 failed, 2 bad input, 3 inconclusive, 4 aborted, "
    "5 unclean (something is still injected: tierdrill recover)."
)


@click.command(
    cls=CommandTable,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="State folder (TIERDRILL_HOME).")
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="TIERDRILL_CATALOGUE",
    help="Folder with drills/, experiments/, playbooks/ [default: . if it has drills/, else the shipped].",
)
@click.option("--no-color", is_flag=True, help="Disable colours (also NO_COLOR).")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks of errors.")
@click.version_option(__version__, prog_name="tierdrill", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, catalogue: Path | None, no_color: bool, verbose: bool) -> None:
    """Resilience drills for tiered model-serving platforms.

    Inject a fault under load, then judge: did the critical tiers keep their promises, and did the right playbooks run?
    """
    state = find_home(home)
    if state.exists() and not state.is_dir():
        raise Refusal(f"--home: {state} is not a folder")
    # Whatever is started from here (chaos, the reaper, a lab) finds the same home.
    os.environ["TIERDRILL_HOME"] = str(state)
    ctx.obj = Surroundings(
        home=state,
        tools=find_tools(state),
        catalogue=find_catalogue(catalogue),
        color=not no_color and not os.environ.get("NO_COLOR"),
        verbose=verbose,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Nothing is ever raised from here."""
    hold_standard_streams()
    try:
        code = cli.main(
            args=list(arguments) if arguments is not None else None, prog_name="tierdrill", standalone_mode=False
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.exceptions.Abort:
        return explain(KeyboardInterrupt(), None)
    except Refusal as refusal:
        refusal.show()
        return refusal.exit_code
    except click.exceptions.NoArgsIsHelpError as bare:
        click.echo(bare.format_message(), err=True)
        return BAD_INPUT
    except click.UsageError as wrong:
        where = wrong.ctx.command_path if wrong.ctx else "tierdrill"
        say(f"{' '.join(wrong.format_message().split())}; see {where} --help")
        return BAD_INPUT
    except click.ClickException as wrong:
        say(wrong.format_message())
        return BAD_INPUT
    except UNREAD:
        return reader_gone()
    except OutputLost as error:
        say_output_is_lost(error)
        return INCONCLUSIVE
    except Exception as error:
        return explain(error, _home(), verbose="-v" in sys.argv or "--verbose" in sys.argv)
    except KeyboardInterrupt as interrupt:
        return explain(interrupt, None)


def _home() -> Path | None:
    named = os.environ.get("TIERDRILL_HOME")
    return Path(named) if named else None


if __name__ == "__main__":
    sys.exit(main())
