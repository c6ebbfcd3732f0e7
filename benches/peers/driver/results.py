"""The figures: a line of JSON each, and the table that is made of them."""

import json
import os
import platform
import sys
import threading
import time

from driver import machine as this_machine
from driver import paths, tables

_writing = threading.Lock()


def begin():
    paths.WORK.mkdir(parents=True, exist_ok=True)
    paths.RESULTS.write_text("")


def write(**figure):
    figure = {name: round(v, 3) if isinstance(v, float) else v for name, v in figure.items()}
    line = json.dumps(figure)
    with _writing, open(paths.RESULTS, "a") as file:
        file.write(line + "\n")
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def failed(part, who, error):
    write(part=part, peer=who, figure="error", error=str(error))


def machine(server, programs):
    write(
        part="machine",
        figure="machine",
        day=time.strftime("%Y-%m-%d"),
        cores=this_machine.CORES,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        postgres=server.version(),
        versions=programs.versions(),
    )


def read():
    return [json.loads(line) for line in paths.RESULTS.read_text().splitlines()]


def has_errors():
    return any(figure["figure"] == "error" for figure in read())


def write_table():
    text = tables.markdown(read())
    paths.TABLE.write_text(text)
    print(text)

