"""Runs the notebooks as one audited batch; also lists runs and queries the published warehouse.

The work is in `notebooks/` and `lib/`; this file is the command line: its commands, their options and exit codes. What
they print is in `lib.run.terminal`.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from lib.base.errors import ConfigError
from lib.base.secrets import mask
from lib.run import forking, terminal
from lib.settings import load_settings

EXIT_CODES = "Exit codes: 0 published, 1 a stage failed, 2 wrong usage or configuration, 3 the quality gate refused."

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
DataDir = Annotated[
    str,
    typer.Option("--data-dir", metavar="DIR", help="Lake, warehouse and simulated systems [pipeline.yml: data]."),
]
OutputDir = Annotated[
    str,
    typer.Option("--output-dir", metavar="DIR", help="Runs, reports and the run index [pipeline.yml: outputs]."),
]
Sources = Annotated[
    str,
    typer.Option("--sources", metavar="FILE", help="A real shop's sources file, such as examples/online_retail.yml."),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="duckdb|postgres",
        help="Warehouse: one file, or the server that WAREHOUSE_URL names [pipeline.yml: duckdb].",
    ),
]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="small|default|large",
        help="Size of the simulated shop: 2,000, 50,000 or 2,000,000 orders.",
    ),
]


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="The last line of the output is one JSON object: run_id, given_id, state, reason, stages, score, grade,"
        " new_rows, report, exit_code.",
    ),
]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run, as it was given or as its folder is named.")]


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def pipeline(
    context: typer.Context,
    size: Size = "",
    sources: Sources = "",
    as_of: Annotated[
        str, typer.Option("--as-of", metavar="DATE", help="Let the simulated shop go on to this day.")
    ] = "",
    flow: Annotated[
        str,
        typer.Option("--flow", metavar="NAME", help="Run a flow of pipeline.yml, such as refresh_aggregations."),
    ] = "",
    only: Annotated[
        str, typer.Option("--only", metavar="NOTEBOOK", help="Run one notebook: 04_model, 04 or model.")
    ] = "",
    first: Annotated[str, typer.Option("--from", metavar="NOTEBOOK", help="Start at this notebook.")] = "",
    last: Annotated[str, typer.Option("--to", metavar="NOTEBOOK", help="Stop after this notebook.")] = "",
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            metavar="[NOTEBOOK.]NAME=VALUE",
            help="Set a notebook's parameter; may be repeated.",
        ),
    ] = None,
    parameter_file: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--parameter-file",
            metavar="FILE",
            help="Set those that a YAML file gives, 'top_n: 20' or '06_insights: {top_n: 20}'; -p counts more.",
        ),
    ] = None,
    help_notebook: Annotated[
        str, typer.Option("--help-notebook", metavar="NOTEBOOK", help="Show a notebook's parameters, and run nothing.")
    ] = "",
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Rebuild the warehouse from the lake.")] = False,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate",
            help="Publish even what the quality gate refuses; run, run index and ops.runs are marked. After a refused"
            " run, --from 05_quality --no-gate publishes what it left.",
        ),
    ] = False,
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id",
            metavar="ID",
            help="Open or join a run, which then is one run of many processes: it waits between them, each stage goes"
            " on from what the one before left, and it publishes once all have run.",
        ),
    ] = "",
    as_json: AsJson = False,
    skip_unchanged: Annotated[
        bool,
        typer.Option(
            "--skip-unchanged",
            help="Leave stages out whose code, parameters, inputs and versions are those of their last success, and say"
            " why the others run.",
        ),
    ] = False,
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Take a shop's data from its sources to a star schema, a scored quality dashboard and an insights report.

    Without options: all six notebooks on the simulated shop. Each run leaves executed notebooks, reports, charts
    and a manifest in outputs/runs/<run_id>, and is published only if the quality gate lets it.

    Examples:

        python run_pipeline.py --size small

        python run_pipeline.py --sources examples/online_retail.yml

        python run_pipeline.py --from 05_quality -p 06_insights.top_n=20

        python run_pipeline.py --flow refresh_aggregations

        python run_pipeline.py --run-id nightly-17 --only 03_clean --json

        python run_pipeline.py query "select month, net_amount from analytics.monthly_sales"
    """
    if context.invoked_subcommand:
        return
    with terminal.plain_errors(as_json):
        if help_notebook:
            from lib.run.parameters import described, find_notebook

            columns = ["parameter", "type", "default", "meaning", "set with"]
            terminal.print_rows(columns, described(find_notebook(help_notebook)))
            raise typer.Exit
        plan = _plan(
            size,
            sources,
            as_of,
            flow,
            only,
            first,
            last,
            parameter or [],
            parameter_file or [],
            full_refresh,
            no_gate,
            data_dir,
            output_dir,
            target,
            run_id,
        )
        raise typer.Exit(_run(replace(plan, skip_unchanged=skip_unchanged), as_json))


@app.command()
def runs(
    output_dir: OutputDir = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
) -> None:
    """List the runs, newest first: how each ended, how long it took, what it loaded, its quality score."""
    with terminal.plain_errors():
        from lib.base import formatting
        from lib.report.pages import is_overridden
        from lib.run.manifest import is_alive, list_runs

        settings = load_settings(output_dir=output_dir)
        found = list_runs(settings.output_dir)
        if not found:
            terminal.out.print(f"No runs in {settings.output_dir} yet. Start one: python run_pipeline.py")
            return
        columns = ["run", "state", "shop", "seconds", "new rows", "quality", "reason"]
        rows = []
        for manifest in found[:limit]:
            state = manifest["state"]
            if state == "running" and not is_alive(manifest, settings.output_dir / "runs" / manifest["run_id"]):
                state = "killed"
            quality = manifest.get("quality") or {}
            if is_overridden(manifest):
                state += ", gate overridden"
            score = f"{formatting.points(quality['score'])} {quality['grade']}" if quality else ""
            values = (
                manifest.get("given_id") or manifest["run_id"],
                state,
                manifest["shop"]["name"],
                manifest["seconds"],
                manifest["new_rows"],
                score,
            )
            rows.append(
                [
                    *("" if v is None else str(v) for v in values),
                    (manifest["reason"] or "").split("\n")[0][:100],
                ]
            )
        terminal.print_rows(columns, rows)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A read-only query, such as: select * from analytics.monthly_sales")],
    sources: Sources = "",
    size: Size = "",
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Query the published warehouse, read-only: a table on a terminal, CSV in a pipe.

    Which one: that of --sources, --size, --data-dir or --target; without them, the one that was published last.
    """
    with terminal.plain_errors():
        from lib.run.manifest import latest_place
        from lib.warehouse import open_warehouse

        chosen = data_dir
        if not (data_dir or sources or size or target):
            latest = latest_place(load_settings(output_dir=output_dir).output_dir)
            chosen, target = (str(latest[0]), latest[1]) if latest else ("", "")
        warehouse = open_warehouse(
            load_settings(sources=sources, size=size, data_dir=chosen, output_dir=output_dir, target=target)
        )
        frame = warehouse.query(sql)
        if terminal.out.is_terminal:
            terminal.err.print(f"[dim]{warehouse.place}[/dim]")
            terminal.print_rows(
                [str(c) for c in frame.columns],
                [[terminal.shown(value) for value in row] for row in frame.itertuples(index=False)],
            )
        else:
            frame.to_csv(sys.stdout, index=False)


@app.command(epilog="Exit codes: 0 looked at, 1 nothing there can be read, 2 wrong usage.")
def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, SQLite files, or a database's URL; '${SHOP_DATABASE_URL}' in quotes takes it from the"
            " environment, and keeps its password out of the file.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the sources file, such as shop.yml.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="The shop's name on reports [the folder's].")] = "",
    currency: Annotated[
        str, typer.Option("--currency", metavar="CODE", help="The reporting currency [the most frequent one].")
    ] = "",
    time_zone: Annotated[
        str, typer.Option("--time-zone", metavar="ZONE", help="Of business days, such as Europe/Berlin [guessed].")
    ] = "",
    cents: Annotated[bool, typer.Option("--cents", help="Amounts are in hundredths, such as 1999 for 19.99.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the sources file where there is one.")
    ] = False,
) -> None:
    """Look at a shop's exports: what each file is, its first rows as they would arrive, and a sources file for them.

    Known layouts (Shopify, WooCommerce, Magento, Amazon, Etsy, Square, eBay, PayPal, Stripe, Olist, Online Retail,
    Superstore, GA4) give a file that runs as it is. For others columns are guessed by their names and values; what is
    doubtful is said here (?) and in the file (check:), and what is needed and was not found (!) is left to you.

    Nothing is changed but the file that -o names.

    Examples:

        python run_pipeline.py inspect ~/Downloads/orders_export_1.csv

        python run_pipeline.py inspect exports -o shop.yml --time-zone America/New_York

        python run_pipeline.py inspect '${SHOP_DATABASE_URL}' -o shop.yml

        python run_pipeline.py --sources shop.yml
    """
    with terminal.plain_errors():
        raise typer.Exit(_inspect(paths, output, name, currency, time_zone, cents, overwrite))


@app.command("init-db")
def init_db() -> None:
    """Set up a PostgreSQL database for `--target postgres`: two roles, seven schemas, and who may do what.

    Connects to WAREHOUSE_ADMIN_URL (else WAREHOUSE_URL) as a superuser, or as the database's owner with CREATEROLE.
    Sets the roles' passwords to LOADER_PASSWORD and ANALYST_PASSWORD where they are given. May be run again at any
    time.

    Example (docs/postgres.md has the whole way):

        cp .env.example .env    # fill in the passwords

        set -a; . ./.env; set +a

        python run_pipeline.py init-db
    """
    with terminal.plain_errors():
        from lib.warehouse import roles

        for line in roles.init_db(roles.admin_url(os.environ), roles.role_passwords(os.environ)):
            terminal.out.print(line, highlight=False, markup=False)


@app.command(epilog=EXIT_CODES)
def resume(
    run_id: Annotated[str, typer.Argument(metavar="[ID]", help="The run; without one, the newest.")] = "",
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Publish even what the quality gate refuses.")] = False,
    as_json: AsJson = False,
    output_dir: OutputDir = "",
) -> None:
    """Go on where a run stopped, in its folder and with its parameters, and keep the stages that are done.

    After a failure, a kill, a refusal of the gate, or a correction in lib/ or a notebook.
    """
    with terminal.plain_errors(as_json):
        from lib.run import resuming

        found, settings = _found(run_id, output_dir)
        plan = resuming.plan_to_resume(found, settings, no_gate=no_gate)
        if plan:
            raise typer.Exit(_run(plan, as_json))
        started = time.monotonic()
        run = resuming.publish_run(found, settings, no_gate=no_gate)
        raise typer.Exit(terminal.say(run, time.monotonic() - started, as_json))


@app.command(epilog=EXIT_CODES)
def publish(
    run_id: RunId,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Publish even what the quality gate refuses.")] = False,
    as_json: AsJson = False,
    output_dir: OutputDir = "",
) -> None:
    """Publish a run that waits after its audit, 05_quality. One that has published already is left as it is."""
    with terminal.plain_errors(as_json):
        from lib.run import resuming

        started = time.monotonic()
        run = resuming.publish_run(*_found(run_id, output_dir), no_gate=no_gate)
        raise typer.Exit(terminal.say(run, time.monotonic() - started, as_json))


@app.command()
def abandon(run_id: RunId, as_json: AsJson = False, output_dir: OutputDir = "") -> None:
    """Give a run up that has not published: close it, and remove what is kept of it."""
    with terminal.plain_errors(as_json):
        from lib.run import resuming

        started = time.monotonic()
        run = resuming.abandon(*_found(run_id, output_dir))
        raise typer.Exit(terminal.say(run, time.monotonic() - started, as_json))


def _found(run_id: str, output_dir: str) -> tuple[dict[str, Any], Any]:
    """Return the manifest of a run and the settings that it was opened with."""
    from lib.run import checkpoints, resuming

    places = load_settings(output_dir=_from_here(output_dir)).output_dir
    manifest = resuming.find(places, run_id)
    seed = (manifest.get("options") or {}).get("seed")
    return manifest, load_settings(**checkpoints.settings_of(manifest, places), seed=seed)


@app.command(epilog="Exit codes: 0 stopped when it was asked to, 1 another schedule is at work, 2 wrong usage.")
def schedule(
    flow: Annotated[
        list[str] | None, typer.Option("--flow", metavar="NAME", help="Only this flow; may be repeated.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the flows and their next times, and run nothing.")] = False,
    count: Annotated[int, typer.Option("--next", "-n", min=1, max=100, help="How many next times to show.")] = 3,
    sources: Sources = "",
    size: Size = "",
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Run flows of pipeline.yml at the times of their cron expressions, until it is stopped.

    Each run is a process of its own, one after the other. What came due while no schedule was at work is run once.
    SIGTERM or Ctrl-C ends it; a run that is under way then is closed as stopped, and run again when the schedule is
    back. docs/operations.md has a systemd unit.

    Examples:

        python run_pipeline.py schedule --list

        python run_pipeline.py schedule --sources shop.yml --flow ecommerce_end_to_end
    """
    with terminal.plain_errors():
        from lib.run import schedule as scheduling

        settings, passed_on = _passed_on(sources, size, data_dir, output_dir, target)
        chosen, clock = scheduling.entries(settings, flow or []), scheduling.RealClock()
        if show:
            rows = scheduling.listed(settings, chosen, clock.now(), count)
            terminal.print_rows(["flow", "cron", "time zone", "next", "last run ended"], rows)
            return

        with scheduling.alone(settings, "schedule"):
            try:
                scheduling.keep(
                    chosen,
                    scheduling.state_of(settings),
                    lambda name: scheduling.run_process(scheduling.arguments_of(settings, name, passed_on)),
                    clock,
                    terminal.log,
                    lambda: scheduling.is_busy(settings),
                )
            except scheduling.Stopped:
                terminal.log("stopped")


@app.command(epilog="Exit codes: 0 something is new, 4 nothing is, 1 a source could not be asked, 2 wrong usage.")
def pending(
    sources: Sources = "",
    size: Size = "",
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Say whether a source has something new, or a run that failed has left some unpublished; nothing is read in.

    Files are told by name, size and time of change; databases and APIs are asked for what a run would read of them.

    Example: python run_pipeline.py pending --sources shop.yml && python run_pipeline.py --sources shop.yml
    """
    with terminal.plain_errors():
        from lib.run.watch import look

        settings, _ = _passed_on(sources, size, data_dir, output_dir, target)
        found = look(settings)
        for one in found.new:
            terminal.out.print(mask(one.sentence), highlight=False, markup=False)
        for name, message in (found.failures | found.skipped).items():
            terminal.err.print(mask(f"{name} cannot be asked: {message}"), highlight=False, markup=False)
        if not found.new and not found.failures:
            terminal.out.print("Nothing is new.")
        raise typer.Exit(0 if found.new else 1 if found.failures else 4)


@app.command(epilog="Exit codes: 0 stopped when it was asked to, 1 another watch is at work, 2 wrong usage.")
def watch(
    flow: Annotated[str, typer.Option("--flow", metavar="NAME", help="What to run.")] = "ecommerce_end_to_end",
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=1, help="How often to look.")] = 30,
    sources: Sources = "",
    size: Size = "",
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Run a flow whenever a source has something new, until it is stopped.

    It waits until new files have been the same at two looks; files whose names begin with a dot or end in .partial
    wait until they have their name. SIGTERM or Ctrl-C ends it, as it does `schedule`.

    Example: python run_pipeline.py watch --sources shop.yml --every 60
    """
    with terminal.plain_errors():
        from lib.run import schedule as scheduling
        from lib.run.flows import find_flow
        from lib.run.watch import keep_watching, look

        settings, passed_on = _passed_on(sources, size, data_dir, output_dir, target)
        find_flow(settings, flow)

        with scheduling.alone(settings, "watch"):
            terminal.log(f"looks every {every:g} s at what {settings.shop.name} delivers, for {flow}")
            try:
                keep_watching(
                    lambda: look(settings),
                    lambda: scheduling.run_process(scheduling.arguments_of(settings, flow, passed_on)),
                    scheduling.RealClock(),
                    terminal.log,
                    every,
                    lambda: scheduling.is_busy(settings),
                )
            except scheduling.Stopped:
                terminal.log("stopped")


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's id, or: latest.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run to hold against it.")],
    output_dir: OutputDir = "",
) -> None:
    """Show what differs between two runs: parameters, code, versions, row counts, key figures, checks.

    The same is written as a page, outputs/diffs/A--B.html.
    """
    with terminal.plain_errors():
        from lib.run import difference

        folder = load_settings(output_dir=_from_here(output_dir)).output_dir
        before, after = difference.find(folder, first), difference.find(folder, second)
        groups = difference.compare(before, after)
        rows = [[name, c.name, c.before, c.after, c.by] for name, changes in groups for c in changes]
        if rows:
            terminal.print_rows(["of", "what", before["run_id"], after["run_id"], "change"], rows)
        else:
            terminal.err.print("Nothing differs.")
        terminal.err.print(
            f"Page: {difference.write_page(folder, before, after, groups)}", highlight=False, markup=False
        )


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="The newest N runs stay.")] = 30,
    keep_days: Annotated[int, typer.Option("--keep-days", min=0, metavar="D", help="So do those of D days.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what would go.")] = False,
    sources: Sources = "",
    size: Size = "",
    data_dir: DataDir = "",
    output_dir: OutputDir = "",
    target: Target = "",
) -> None:
    """Remove old runs of one shop, and what killed runs left: copies, batches without a manifest, temporary files.

    The last run that published stays, and so do runs that wait. Without --yes nothing is removed.
    """
    with terminal.plain_errors():
        from lib.run import pruning

        settings = _settings(sources, size, data_dir, output_dir, target)
        found = (pruning.remove if yes else pruning.find)(settings, keep, keep_days)
        if found:
            rows = [[item.kind, f"{item.bytes / 1e6:,.1f}", str(item.path)] for item in found]
            terminal.print_rows(["what", "MB", "where"], rows)
        total = f"{len(found)} thing{'s' * (len(found) != 1)}, {sum(item.bytes for item in found) / 1e6:,.1f} MB"
        ending = "Removed" if yes else "Would remove"
        hint = "" if yes or not found else " To do it, add: --yes"
        terminal.err.print(f"{ending} {total}.{hint}" if found else "There is nothing to remove.", highlight=False)


def _settings(sources: str, size: str, data_dir: str, output_dir: str, target: str) -> Any:
    """Return the settings that a command's options mean."""
    return load_settings(
        sources=sources,
        size=size,
        target=target,
        data_dir=_from_here(data_dir),
        output_dir=_from_here(output_dir),
    )


def _passed_on(sources: str, size: str, data_dir: str, output_dir: str, target: str) -> tuple[Any, list[str]]:
    """Return the settings of a command that starts runs, and the options that give these the same."""
    if sources and size:
        raise ConfigError("--size belongs to the simulated shop and does not go with --sources.")
    settings = _settings(sources, size, data_dir, output_dir, target)
    given = {
        "--sources": str(settings.sources_file) if sources else "",
        "--size": size,
        "--data-dir": _from_here(data_dir),
        "--output-dir": _from_here(output_dir),
        "--target": target,
    }
    return settings, [text for option, value in given.items() if value for text in (option, value)]


def _plan(
    size: str, sources: str, as_of: str, flow: str, only: str, first: str, last: str, given: list[str],
    files: list[str], full_refresh: bool, no_gate: bool, data_dir: str, output_dir: str, target: str,
    run_id: str = "",
) -> Any:  # fmt: skip
    """Return the validated plan of a run; raise ConfigError before anything is changed."""
    from lib.run.flows import find_flow, whole
    from lib.run.manifest import command_line, find_run
    from lib.run.parameters import parse_parameters
    from lib.run.retrying import limits_of
    from lib.run.runner import Plan
    from lib.warehouse import open_warehouse

    if only and (first or last):
        raise ConfigError("--only goes without --from and --to.")
    known = None
    if run_id:
        # A run that is joined keeps its shop and its places, so that a stage of it needs no more than its id.
        known = find_run(load_settings(sources=sources, output_dir=_from_here(output_dir)).output_dir, run_id)
    if known:
        options = known.get("options") or {}
        sources, target = sources or options.get("sources", ""), target or options.get("target", "")
        size, flow = size or ("" if sources else options.get("size", "")), flow or known.get("flow") or ""
        data_dir = data_dir or known["data_dir"]
    chosen_flow = find_flow(load_settings(sources=sources), flow) if flow else whole()
    chosen = chosen_flow.select(only, first, last)
    if full_refresh and "03_clean" not in chosen:
        raise ConfigError("--full-refresh rebuilds from 03_clean on, which this run leaves out.")
    if no_gate and "05_quality" not in chosen:
        raise ConfigError("--no-gate overrides the verdict of 05_quality, which this run leaves out.")
    if sources and (size or as_of):
        raise ConfigError("--size and --as-of belong to the simulated shop and do not go with --sources.")
    parameters = chosen_flow.with_parameters(parse_parameters(given, files))
    seed = parameters["01_generate"].get("seed")
    if known and seed is None and not sources:
        seed = (known.get("options") or {}).get("seed")
    settings = load_settings(
        sources=sources,
        size=size,
        as_of=as_of or ("" if sources else (known or {}).get("as_of") or chosen_flow.day()),
        target=target,
        seed=seed,
        data_dir=_from_here(data_dir),
        output_dir=_from_here(output_dir),
    )
    for name in chosen:
        limits_of(settings.config.runner, name)
    # An address that is missing or unusable is reported before anything starts.
    _ = open_warehouse(settings, "run").place
    if flow:
        chosen_flow.check_start(settings)
    full_refresh = full_refresh or (chosen_flow.full_refresh and "03_clean" in chosen)
    return Plan(
        settings,
        chosen,
        parameters,
        full_refresh,
        no_gate,
        command_line(),
        flow,
        chosen_flow.from_published,
        run_id,
        chosen_flow.notebooks,
    )


def _inspect(
    paths: list[str], output: str, name: str, currency: str, time_zone: str, cents: bool, overwrite: bool
) -> int:
    """Look at exports, say what was found, and write the sources file."""
    import tempfile

    from lib.base.files import write_atomically
    from lib.inspect.inspecting import inspect, lines_of
    from lib.inspect.shop import Wishes

    target = Path(output).expanduser() if output else None
    if target and target.exists() and not overwrite:
        raise ConfigError(f"{output} is there already. Name another file, or add --overwrite to replace it.")
    wishes = Wishes(name, currency.upper(), time_zone, cents)
    wishes.check()
    with tempfile.TemporaryDirectory(prefix="inspect-") as scratch, terminal.err.status("looking ...") as status:
        done = inspect(paths, wishes, Path(scratch), output, lambda text: status.update(f"looking at {text}"))
        lines = list(lines_of(done))
    for line in lines:
        tone = {"?": "yellow", "!": "red"}.get(line.strip()[:1], "") if line.startswith("  ") else ""
        terminal.out.print(mask(line), highlight=False, markup=False, style=tone or None)
    if not done.drafted.groups:
        terminal.err.print("[red]Error:[/red] Nothing here can be read as a shop's export.", highlight=False)
        return 1
    if target is None:
        terminal.out.print("\nTo write this as a sources file, add: -o shop.yml", highlight=False)
        return 0
    write_atomically(target, done.text)
    doubts = len(done.drafted.draft.doubts)
    things = f", with {doubts} thing{'s' * (doubts != 1)} to check" if doubts else ""
    terminal.out.print(f"\nWrote {output}{things}.", highlight=False, markup=False)
    if done.runs:
        terminal.out.print(f"Run it: python run_pipeline.py --sources {output}", highlight=False, markup=False)
    else:
        terminal.out.print(
            "It cannot run yet: see the lines with '!' above and TODO in the file.", highlight=False, style="yellow"
        )
    return 0


def _from_here(folder: str) -> str:
    """Return a folder that was typed on the command line, from where it was typed."""
    return str(Path(folder).expanduser().resolve()) if folder else ""


def _run(plan: Any, as_json: bool = False) -> int:
    """Run the plan under a progress bar and say how it ended and where everything is."""
    from lib.run.runner import run

    started = time.monotonic()
    with terminal.bar(len(plan.notebooks)) as show:
        outcome = run(plan, show)
    return terminal.say(outcome, time.monotonic() - started, as_json)


def _open_standard_files() -> None:
    """Open what whoever started this has closed of the standard files, so that nothing else takes their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: PTH123, SIM115


if __name__ == "__main__":
    _open_standard_files()
    forking.start_fresh()  # before anything large is imported
    app()
