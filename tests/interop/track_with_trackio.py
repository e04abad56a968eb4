"""Runs in Trackio's environment: hands a training's logs to the tracker as the trainer does, and reads Trackio's own.

Usage: track_with_trackio.py RUN KEPT END OUT. RUN is the root of a run with metrics.jsonl and validation.jsonl. Rows up
to step KEPT are what an earlier start has left; then come those up to step END. If END is the last one, what Trackio
has is written to OUT; else the process ends as if killed, once Trackio has a row.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from nep.train.runtime.trackers import Tracked, start_tracker

run, kept, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
logs, new = [], []
for name in ("metrics", "validation"):
    rows = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
    kept_rows = [row for row in rows if row["step"] <= kept]
    logs.append(SimpleNamespace(path=run / f"{name}.jsonl", kept=kept_rows, followers=[]))
    new += [(row["step"], logs[-1], row) for row in rows if kept < row["step"] <= end]
    last = rows[-1]["step"]

tracked = Tracked(run, "nep", "sft", "0" * 16, {"lr": 1e-3, "lora": None})
tracker = start_tracker("trackio", tracked, leads=True)
tracker.follow(*logs)
for _, log, row in sorted(new, key=lambda item: item[0]):
    for follower in log.followers:
        follower(log.path.stem, row)

from trackio.sqlite_storage import SQLiteStorage  # noqa: E402  (where its files lie is told by the tracker)

if end < last:
    while not SQLiteStorage.get_logs(run.name, tracked.name):
        time.sleep(0.05)
    os._exit(0)
tracker.close()
Path(sys.argv[4]).write_text(json.dumps(SQLiteStorage.get_logs(run.name, tracked.name)))
