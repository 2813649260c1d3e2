"""python -m harness.cli.schema: writes what is made from the charts' values.yaml; --check only tells what is stale."""

from __future__ import annotations

import sys

from harness.charts import schema
from stanft.cli import common

if __name__ == "__main__":
    common.run(lambda: schema.main(sys.argv[1:]))
