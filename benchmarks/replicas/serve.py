"""Ray Serve on loopback until standard input is closed: `python -m … PORT JSON`."""

from __future__ import annotations

import json
import sys


def main(port: int, args: dict[str, str]) -> None:
    import ray
    from ray import serve

    from benchmarks.replicas.app import application

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(application(args), route_prefix="/")
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
