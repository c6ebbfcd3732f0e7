"""The Markdown tables that docs/benchmarks.md quotes: medians over the rounds."""

from driver.quantiles import median

NAMES = {"pigeonhole": "**Pigeonhole's queue**"}


def markdown(figures):
    parts = [_machine(figures), _queues(figures), _service(figures), _distance(figures)]
    return "\n\n".join(part for part in [*parts, _errors(figures)] if part) + "\n"


def _of(figures, **fields):
    return [f for f in figures if all(f.get(name) == value for name, value in fields.items())]


def _median(figures, column):
    return median([figure.get(column) for figure in figures])


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(value):
    return "–" if value is None else f"{value:,.0f}"


def _ms(value):
    return "–" if value is None else f"{value:.1f}"


def _machine(figures):
    for machine in _of(figures, figure="machine"):
        return (
            f"{machine['day']}: {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"{machine['system']}, Postgres {machine['postgres']}."
        )


def _versions(figures):
    machines = _of(figures, figure="machine")
    return machines[-1]["versions"] if machines else {}


def _queues(figures):
    ours = _of(figures, part="queues") + _of(figures, part="recovery")
    peers = list(dict.fromkeys(f["peer"] for f in ours if f["figure"] != "error"))
    if not peers:
        return None
    header = [
        "queue",
        "drain, jobs/s",
        "enqueue singly, 16 clients, jobs/s",
        "in bulk, jobs/s",
        "idle latency p50 / p99, ms",
        "jobs of a killed worker run elsewhere",
    ]
    versions = _versions(figures)
    rows = []
    for peer in peers:
        name = " ".join([NAMES.get(peer, f"`{peer}`"), versions.get(peer) or ""]).strip()
        latency = _of(figures, peer=peer, figure="latency", part="queues")
        rows.append([
            name,
            *(
                _count(_median(_of(figures, peer=peer, figure=figure), "per_s"))
                for figure in ("drain", "enqueue_single", "enqueue_bulk")
            ),
            f"{_ms(_median(latency, 'p50_ms'))} / {_ms(_median(latency, 'p99_ms'))}",
            _recovery(_of(figures, peer=peer, figure="recovery")),
        ])
    return _table(header, rows)


def _recovery(figures):
    if not figures:
        return "–"
    [figure] = figures
    held, recovered, limit = figure["held"], figure["recovered"], figure["limit_s"]
    if recovered == 0:
        return f"none of {held} within {limit:.0f} s"
    again = f"; {figure['ran_again']} ran twice" if figure["ran_again"] else ""
    until = f"after {figure['first_s']:.0f} to {figure['last_s']:.0f} s"
    whole = f"all {held}" if recovered == held else f"{recovered} of {held} within {limit:.0f} s"
    return f"{whole}, {until}{again}"


def _service(figures):
    figures = _of(figures, part="service")
    node, pigeonhole = (_of(figures, peer=peer) for peer in ("node", "pigeonhole"))
    if not node or not pigeonhole:
        return None
    rows = []

    def row(what, form, column, less_is_better=False, **fields):
        both = [_median(_of(side, **fields), column) for side in (node, pigeonhole)]
        rows.append([what, *(form(value) for value in both), _ratio(*both, less_is_better)])

    for connections in (1, 64, 256):
        fields = {"figure": "answered", "connections": connections}
        plural = "s" if connections > 1 else ""
        row(f"webhooks answered/s, {connections} connection{plural}", _count, "per_s", **fields)
    row("webhook to items, highest steady rate, messages/s", _count, "per_s", figure="steady")
    for load, at in (("half", "at half of it"), ("20/s", "at 20/s")):
        fields = {"figure": "latency", "load": load}
        for share in ("p50", "p99"):
            column = f"answered_to_items_{share}_ms"
            row(f"{at}: answer to items, {share}, ms", _ms, column, True, **fields)
        row(f"{at}: webhook due to items, p50, ms", _ms, "due_to_items_p50_ms", True, **fields)
    half = {"figure": "latency", "load": "half"}
    row("at half of it: WAL a message, bytes", _count, "wal_bytes", True, **half)
    for part in ("receiver", "worker"):
        row(f"at half of it: CPU of the {part} a message, µs", _count, f"{part}_cpu_us", True, **half)
        row(f"peak memory of the {part}, MiB", _count, f"{part}_peak_mib", True, **half)
    return _table(["service", "Node", "Pigeonhole", "times better"], rows)


def _ratio(node, pigeonhole, less_is_better):
    if not node or not pigeonhole:
        return "–"
    ratio = node / pigeonhole if less_is_better else pigeonhole / node
    return f"{ratio:.2f}"


def _distance(figures):
    rows = []
    for steady in _of(figures, part="distance", figure="steady"):
        at = {name: steady[name] for name in ("peer", "delay_ms")}
        latency = _of(figures, part="distance", figure="latency", **at)
        p50, p99 = (_median(latency, f"answered_to_items_{share}_ms") for share in ("p50", "p99"))
        rows.append([
            {"node": "Node", "pigeonhole": "Pigeonhole"}[steady["peer"]],
            f"{steady['delay_ms']} ms",
            f"{steady['stall_share']:.0%}",
            _count(steady["per_s"]),
            f"{_ms(p50)} / {_ms(p99)}",
        ])
    if not rows:
        return None
    header = [
        "service, 2 workers",
        "database away, one way",
        "stalls of 2 s",
        "highest steady rate, messages/s",
        "at half of it: answer to items, p50 / p99, ms",
    ]
    return _table(header, rows)


def _errors(figures):
    errors = _of(figures, figure="error")
    return "\n".join(f"- not measured: {f['part']}, {f['peer']}: {f['error']}" for f in errors)
