"""A job that does as it is told, for the tests of `jobs.common`."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import typer

from cluster.errors import ConflictError, InputError
from jobs import common
from jobs.common import ConfigOption, progress, run, settings_of, stage


def main(
    do: Annotated[str, typer.Option(help="What to do.")],
    config: ConfigOption = None,
) -> dict[str, Any]:
    """A job for tests."""
    settings_of(config)
    print("noise of Python")
    os.system("echo noise of a child")
    if do == "bad":
        raise InputError("is not a number", "f.csv, line 7")
    if do == "conflict":
        raise ConflictError("somebody was faster")
    if do == "boom":
        raise RuntimeError("boom")
    common.LOG_EVERY_S = 0.01
    with stage("counting"), progress("counting", total=4, unit="steps") as report:
        for done in range(4):
            time.sleep(60 if do == "wait" else 0.02)
            report(done + 1)
    return {"answer": 42, "nothing": float("nan")}


if __name__ == "__main__":
    run(main)
