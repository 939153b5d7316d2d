"""Runs one peer over a folder; prints `{"seconds": …, "flagged": […]}`. Called by compare.py in the peer's own environment.

A file is flagged when the peer would make a build fail or a person look: picklescan any dangerous global, modelscan any issue,
fickling anything worse than likely safe, modelaudit a warning or worse.
"""

import json
import pathlib
import sys
import time
import warnings

warnings.simplefilter("ignore")


def picklescan():
    from picklescan.scanner import scan_directory_path, scan_file_path

    def flagged(path):
        return (scan_directory_path if path.is_dir() else scan_file_path)(str(path)).issues_count > 0

    return flagged


def modelscan():
    from modelscan.modelscan import ModelScan

    scanner = ModelScan()

    def flagged(path):
        return scanner.scan(str(path))["summary"]["total_issues"] > 0

    return flagged


def fickling():
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import StackedPickle

    def one(path):
        with open(path, "rb") as file:
            return any(check_safety(pickled).severity > Severity.LIKELY_SAFE for pickled in StackedPickle.load(file))

    def flagged(path):
        return any(one(file) for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())

    return flagged


def modelaudit():
    from modelaudit.core import scan_model_directory_or_file

    def flagged(path):
        result = scan_model_directory_or_file(str(path))
        return any(str(getattr(issue.severity, "value", issue.severity)).lower() in ("warning", "critical") for issue in result.issues)

    return flagged


def main(name: str, folder: str) -> None:
    flagged = {"picklescan": picklescan, "modelscan": modelscan, "fickling": fickling, "modelaudit": modelaudit}[name]()
    out, errors, slowest, start = [], 0, 0.0, time.perf_counter()
    for path in sorted(pathlib.Path(folder).iterdir()):
        before = time.perf_counter()
        try:
            if flagged(path):
                out.append(path.name)
        except BaseException:
            # A peer that gives up says nothing of the file.
            errors += 1
        slowest = max(slowest, time.perf_counter() - before)
    print(json.dumps({"seconds": time.perf_counter() - start, "slowest": slowest, "errors": errors, "flagged": out}))


if __name__ == "__main__":
    main(*sys.argv[1:])
