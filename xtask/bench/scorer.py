"""Scores models as the zoo.py beside a folder does, one after the other: reads the path of each in a line, prints its metric.

    python scorer.py FOLDER
"""

import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder.parent))

import zoo  # noqa: E402

scored = zoo.Folder(str(folder))
for line in sys.stdin:
    print(scored.score(zoo.session(line.strip())), flush=True)
