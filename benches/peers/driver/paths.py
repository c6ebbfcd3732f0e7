"""Where things are."""

import pathlib

PEERS = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = PEERS.parent.parent
WORK = REPOSITORY / "target" / "peers"
RESULTS = WORK / "results.jsonl"
TABLE = WORK / "results.md"
LOGS = WORK / "logs"
