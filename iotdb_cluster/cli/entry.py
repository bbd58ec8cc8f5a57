"""The console script: says what to install when the libraries of the commands are not there."""

import sys


def main() -> None:
    """Run `iotdb-cluster`."""
    try:
        import rich
        import typer
    except ImportError:
        print("iotdb-cluster: this command needs more: pip install 'iotdb-cluster[cli]'", file=sys.stderr)
        sys.exit(1)
    del rich, typer
    from iotdb_cluster.cli.main import main as run

    run()
