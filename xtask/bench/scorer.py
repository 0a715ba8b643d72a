"""Scores models with the zoo.py beside a folder: reads the path of a model from each line and prints its metric.

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
