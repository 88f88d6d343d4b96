"""Print hit_rates.csv on a terminal: python tools/print_hit_rates.py results/demo/report/hit_rates.csv"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from nmfp.errors import NmfpError
from nmfp.evaluation.hit_rates import COLUMNS, format_table
from nmfp.files import read_csv


def main(arguments: list[str]) -> int:
    """Print the table of the one argument; 1 and a sentence where it cannot be read."""
    if len(arguments) != 1:
        print("usage: print_hit_rates.py <hit_rates.csv>", file=sys.stderr)
        return 2
    try:
        print(format_table(read_csv(arguments[0], COLUMNS, text=("model", "index", "queries", "criterion"))))
    except NmfpError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
