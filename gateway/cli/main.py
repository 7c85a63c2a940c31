"""The `muster` command: its verbs, and the service."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.cases import case
from gateway.cli.catalog import editions, publish_catalog
from gateway.cli.command import ConfigOption, read_config, say, told
from gateway.cli.compliance import compliance
from gateway.cli.evidence import evidence
from gateway.cli.gb28181 import gb28181
from gateway.cli.networks import discover, network, sighting
from gateway.cli.notices import notify
from gateway.cli.profile import profile
from gateway.cli.proof import recompute
from gateway.cli.reports import report, status
from gateway.cli.roll import check_database, roll
from gateway.cli.sources import credential, sink, source
from gateway.cli.stored_reports import (
    list_stored_reports,
    revise_report,
    show_report,
    store_report,
    verify_report,
)
from gateway.cli.suspensions import suspension
from gateway.cli.tokens import token
from gateway.cli.trial import run_trial
from gateway.config import render_config
from gateway.log import configure_logging
from gateway.opening import muster_version

app = typer.Typer(
    name="muster",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Muster 点名: who must connect, who has, who is offline, who never connected at all.\n\n"
    "Exit codes: 0 done, 1 something was found or went wrong, 2 wrong usage or configuration, 3 not reachable.",
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration file.")

app.add_typer(network, name="network")
app.command("discover")(discover)
app.add_typer(sighting, name="sighting")
app.add_typer(credential, name="credential")
app.add_typer(source, name="source")
app.add_typer(sink, name="sink")
app.add_typer(roll, name="roll")
app.add_typer(profile, name="profile")
app.command("publish")(publish_catalog)
app.add_typer(editions, name="catalog")
app.command("status")(status)
app.add_typer(report, name="report")
report.command("store")(store_report)
report.command("revise")(revise_report)
report.command("list")(list_stored_reports)
report.command("show")(show_report)
report.command("verify")(verify_report)
app.command("check")(check_database)
app.command("recompute")(recompute)
app.add_typer(evidence, name="evidence")
app.add_typer(case, name="case")
app.add_typer(suspension, name="suspension")
app.add_typer(compliance, name="compliance")
app.add_typer(notify, name="notify")
app.add_typer(gb28181, name="gb28181")
app.add_typer(config_app, name="config")
app.add_typer(token, name="token")


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."""
    # Here, so that the other commands need not load the web server and the media stack.
    from gateway.app import serve as serve_gateway

    settings = read_config(config)
    configure_logging(settings.log.level, settings.log.format)
    code = told(lambda: serve_gateway(settings))
    raise typer.Exit(code)


@config_app.command("check")
def check_config(config: ConfigOption = None) -> None:
    """Read the configuration and print it whole, defaults included and secrets masked."""
    say(render_config(read_config(config)).rstrip())


@app.command(hidden=True)
def trial(
    folder: Annotated[Path, typer.Option(help="Takes everything the trial writes.")],
    deploy: Annotated[Path, typer.Option(help="The checkout's deploy folder.", exists=True, file_okay=False)],
) -> None:
    """Run the trial of deploy/run: two test cameras and a central platform on this machine."""
    raise typer.Exit(run_trial(folder, deploy))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Takes everything the demo writes.")] = Path(".muster-demo"),
    seconds: Annotated[
        float, typer.Option(min=0, help="Ends by itself after so long; 0: with Ctrl-C.")
    ] = 0.0,
) -> None:
    """Play a made-up district with virtual cameras on loopback, and tell what to look at (演示)."""
    from gateway.cli.demo import run_demo

    raise typer.Exit(run_demo(folder, seconds))


@app.command()
def version() -> None:
    """Print the version."""
    say(muster_version())


def main() -> None:
    """Enter the command."""
    app()
