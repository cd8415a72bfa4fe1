"""A child process that is a whole worker daemon: `python -m benchmarks.worker_daemon DIR TOKEN_FILE NAME`.

Only its hub is replaced, by one that notes the moment of each `applied` event as well.
"""

import sys
from pathlib import Path
from unittest import mock

from benchmarks.stopwatch import Stopwatch, TimedHub, end_with_parent, take_stdout
from fedbus.settings import WorkerSettings
from fedbus.worker import daemon, lifecycle


def main(directory: Path, token_file: Path, name: str) -> None:
    out = take_stdout()
    end_with_parent()
    settings = WorkerSettings(
        data_dir=directory, rest_port=0, webhook_port=0, join_token_file=token_file, join_name=name
    )
    hub = TimedHub(Stopwatch(out, 1), name)
    with mock.patch.object(lifecycle, "Hub", return_value=hub):
        daemon.run(settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
