"""evtx-rs with json.loads of every record, for bench/event_logs.py."""

from __future__ import annotations

import json
import warnings

from evtx import PyEvtxParser

from bench.contestants.clock import Counts, main

warnings.simplefilter("ignore")


def log(path: str) -> Counts:
    count = 0
    for record in PyEvtxParser(path, 1, skip_errors=True).records_json():
        json.loads(record["data"])
        count += 1
    return {"found": count}


if __name__ == "__main__":
    main({"log": log})
