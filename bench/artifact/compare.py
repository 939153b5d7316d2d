"""Haris and its peers on the project's own corpus, side by side: makes the corpus, scans it, prints the tables of ../README.md.

    python3 compare.py HARIS [--benign VENV,VENV] [picklescan=VENV] [modelscan=VENV] [fickling=VENV] [modelaudit=VENV]

HARIS is a release build of `haris`. Each peer runs in a virtual environment of its own (`pip install picklescan` and so
on); the benign files are made with the packages of `--benign` (scikit-learn, torch and the like), or by hand alone.

Cases fall into two halves by the digest of their names. Whoever works on the scanner may look at the first; figures
are those of the second, and of both together.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import corpus  # noqa: E402


def made(folder: pathlib.Path, kind: str, pythons: list[str]) -> list[pathlib.Path]:
    target = folder / kind
    for python in pythons:
        subprocess.run([python, str(HERE / "corpus.py"), kind, str(target)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Flat, so that each peer is asked about each case.
    for inner in ("blocked", "judged"):
        for path in (target / inner).iterdir() if (target / inner).is_dir() else ():
            path.rename(target / path.name)
        (target / inner).rmdir() if (target / inner).is_dir() else None
    return sorted(target.iterdir())


def haris(binary: str, paths: list[pathlib.Path]) -> dict:
    start = time.perf_counter()
    done = subprocess.run([binary, "scan", *map(str, paths), "--format", "json", "--fail-on", "never"], capture_output=True, check=True)
    seconds = time.perf_counter() - start
    worst: dict[str, str] = {}
    order = ["clean", "review", "incomplete", "blocked"]
    names = {str(path): path.name for path in paths}
    for artifact in json.loads(done.stdout)["artifacts"]:
        name = next(name for path, name in names.items() if artifact["path"] == path or artifact["path"].startswith(path + "/"))
        worst[name] = max(worst.get(name, "clean"), artifact["verdict"], key=order.index)
    return {"seconds": seconds, "verdicts": worst, "flagged": [name for name, verdict in worst.items() if verdict != "clean"]}


def rate(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "none"


def main(binary: str, *options: str) -> None:
    peers = dict(option.split("=", 1) for option in options if "=" in option and not option.startswith("--"))
    pythons = [f"{environment}/bin/python" for environment in options[options.index("--benign") + 1].split(",")] if "--benign" in options else ["python3"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        hostile, benign = made(root, "hostile", ["python3"]), made(root, "benign", pythons)
        families = {path.name.split("--")[0] for path in hostile}
        print(f"{len(hostile)} hostile cases of {len(families)} families, {len(benign)} benign ones.\n")
        held = [path for path in hostile if corpus.is_held(path.name)], [path for path in benign if corpus.is_held(path.name)]
        print("| scanner | hostile flagged | benign flagged | held-out half: hostile, benign | precision | recall | seconds |")
        print("|---|---|---|---|---|---|---|")
        rows = {}
        ours, theirs = haris(binary, hostile), haris(binary, benign)
        rows["Haris"] = (set(ours["flagged"]), set(theirs["flagged"]), ours["seconds"] + theirs["seconds"])
        for name, environment in peers.items():
            runs = []
            for kind in ("hostile", "benign"):
                done = subprocess.run([f"{environment}/bin/python", str(HERE / "peer.py"), name, str(root / kind)], capture_output=True, check=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
            rows[name] = (set(runs[0]["flagged"]), set(runs[1]["flagged"]), runs[0]["seconds"] + runs[1]["seconds"])
        for name, (bad, good, seconds) in rows.items():
            late = tuple(sum(path.name in found for path in part) for part, found in zip(held, (bad, good)))
            precision = len(bad) / max(1, len(bad) + len(good))
            print(f"| {name} | {rate(len(bad), len(hostile))} | {rate(len(good), len(benign))} | {late[0]} of {len(held[0])}, "
                  f"{late[1]} of {len(held[1])} | {precision:.2f} | {len(bad) / len(hostile):.2f} | {seconds:.1f} |")
        print("\n| Haris says | hostile | benign |\n|---|---|---|")
        for verdict in ("blocked", "incomplete", "review", "clean"):
            print(f"| {verdict} | {sum(v == verdict for v in ours['verdicts'].values())} | {sum(v == verdict for v in theirs['verdicts'].values())} |")
        unseen = [path.name for path in hostile if not any(path.name in rows[name][0] for name in peers)]
        print(f"\nNone of the peers flags {len(unseen)} hostile cases; Haris flags {sum(name in rows['Haris'][0] for name in unseen)} of these.")
        for kind, result, wrong in (("hostile", ours, "clean"), ("benign", theirs, None)):
            for name, verdict in sorted(result["verdicts"].items()):
                if verdict == wrong or wrong is None and verdict != "clean":
                    print(f"{kind} {name}: {verdict}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
