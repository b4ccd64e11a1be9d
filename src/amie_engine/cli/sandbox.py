"""The command that serves an AMIE service on this machine."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from amie_engine.cli.options import AsJson
from amie_engine.cli.output import output_console, print_json_line
from amie_engine.sandbox import OFFICIAL_SCENARIOS, Faults, Sandbox
from amie_engine.sandbox.faults import HUB_FAILS, INFORMS_LINGER

__all__ = ["sandbox"]


def sandbox(
    port: Annotated[
        int, typer.Option(metavar="PORT", help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 8000,
    site: Annotated[str, typer.Option(metavar="NAME", help="The site's AMIE name.")] = "NCSA",
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The site's API key.", show_default="a made-up one, which is printed"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Same seed, same people and projects.")] = 0,
    lingering: Annotated[
        bool, typer.Option("--lingering-informs", help="Informs stay listed until they are acknowledged.")
    ] = False,
    faults: Annotated[
        bool,
        typer.Option(
            "--faults", help="Have calls and transactions fail, get lost, or come twice, from the seed."
        ),
    ] = False,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Start this scenario at once; may be repeated.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an AMIE service on this machine, with made-up people and the official test scenarios.

    It answers until Ctrl-C or SIGTERM, and keeps nothing. Its Swagger page is at /docs. Start a scenario with
    --scenario, or later with POST test/SITE/scenarios?type=request_user_modify. With --json, one line tells
    where it is as soon as it answers.

    Example:

        amie-engine sandbox --api-key secret --scenario request_user_modify

    Then, in another terminal, with the example site:

        export AMIE_ENGINE_API_KEY=secret
        amie-engine run --site campus.site:site --hub sandbox \\
            --url http://127.0.0.1:8000/v0.10/
    """
    from amie_engine.sandbox.server import serve

    made = Sandbox(
        site,
        api_key,
        seed=seed,
        failures=HUB_FAILS if faults else 0.0,
        lingering_informs=lingering or (INFORMS_LINGER if faults else 0.0),
    )
    for name in scenario or []:
        made.start_scenario(name)

    def started(url: str) -> None:
        documentation = f"{url.partition('/v0')[0]}/docs"
        if as_json:
            print_json_line(
                {"url": url, "site": site, "api_key": made.api_key, "documentation": documentation}
            )
            return
        console = output_console(soft_wrap=True)
        console.print(f"An AMIE service for site [bold]{site}[/bold] at [bold]{url}[/bold]")
        console.print(f"  API key    {made.api_key}", markup=False)
        console.print(f"  all calls  {documentation}")
        console.print(f"  scenarios  {', '.join(OFFICIAL_SCENARIOS)}")
        console.print(f"  started    {', '.join(scenario) if scenario else 'none yet'}", markup=False)
        console.print("Press Ctrl-C to stop it.")

    # When it has stopped, the server sends itself once more the signal that stopped it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(made, port, faults=Faults(seed=seed) if faults else None, on_start=started)
