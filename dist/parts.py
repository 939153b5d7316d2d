#!/usr/bin/env python3
"""What the programs are made of, from Cargo.lock and cargo's own account of it.

    parts.py sbom TARGET      a CycloneDX 1.6 bill of materials, as JSON
    parts.py notices TARGET   the licence texts that the parts bring along

Both to standard output; the same source gives the same bytes: neither holds a time or a random number.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PROGRAMS = ["haris-cli", "haris-verify"]
SELECTED = [argument for program in PROGRAMS for argument in ("--package", program)]

# C libraries that crates carry along and compile: advisories name these, not the crates.
# links key -> name, file and expression of its version, publisher and product in CPE names.
BUNDLED = {
    "aws_lc": ("aws-lc", "aws-lc/include/openssl/base.h", r'AWSLC_VERSION_NUMBER_STRING "([^"]+)"', "amazon:aws_libcrypto"),
    "sqlite3": ("sqlite", "sqlite3/sqlite3.h", r'SQLITE_VERSION\s+"([^"]+)"', "sqlite:sqlite"),
    "jemalloc": ("jemalloc", "Cargo.toml", r'^version = ".*\+([0-9.]+)', "jemalloc:jemalloc"),
    "zstd": ("zstd", "zstd/lib/zstd.h", r"ZSTD_VERSION_MAJOR\s+(\d+)[\s\S]*?MINOR\s+(\d+)[\s\S]*?RELEASE\s+(\d+)", "facebook:zstandard"),
}
NOTICE = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def cargo(*arguments: str) -> str:
    return subprocess.check_output(["cargo", *arguments], text=True)


class Parts:
    """The packages of both programs, and which of them only the build uses."""

    def __init__(self, target: str) -> None:
        metadata = json.loads(
            cargo("metadata", "--format-version=1", "--locked", f"--filter-platform={target}")
        )
        # `cargo metadata` unites the features of the whole workspace, tests included; `cargo tree` has those of the
        # programs alone, and so knows what is really compiled.
        built = self.tree(target, "normal,build")
        self.shipped = self.tree(target, "normal,no-proc-macro")
        self.packages = {
            package["id"]: package for package in metadata["packages"] if name_version(package) in built
        }
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        self.needs = {
            id: sorted(
                {
                    dep["pkg"]
                    for dep in nodes[id]["deps"]
                    if dep["pkg"] in self.packages and any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
                }
            )
            for id in self.packages
        }
        self.programs = sorted(id for id, package in self.packages.items() if package["name"] in PROGRAMS)

    @staticmethod
    def tree(target: str, edges: str) -> set[tuple[str, str]]:
        lines = cargo(
            "tree", "--locked", *SELECTED, f"--edges={edges}", f"--target={target}", "--prefix=none", "--no-dedupe"
        ).splitlines()
        return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}

    def ships(self, package: dict) -> bool:
        return name_version(package) in self.shipped


def name_version(package: dict) -> tuple[str, str]:
    return package["name"], package["version"]


def purl(package: dict) -> str:
    name, version = name_version(package)
    return f"pkg:cargo/{name}@{version.replace('+', '%2B')}"


def folder(package: dict) -> Path:
    return Path(package["manifest_path"]).parent


def bundled(package: dict) -> dict | None:
    """The C library that a crate compiles, if it links one."""
    links = package["links"]
    if not links or package["name"] == "aws-lc-rs":
        return None
    # aws-lc-sys puts its own version into its key.
    key = re.sub(r"(_\d+)+$", "", links)
    if key not in BUNDLED:
        sys.exit(f"parts.py: {package['name']} links `{links}`, which BUNDLED does not know: say there how its version is found")
    name, file, pattern, publisher = BUNDLED[key]
    found = re.search(pattern, (folder(package) / file).read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if not found:
        sys.exit(f"parts.py: no version of {name} in {folder(package) / file}")
    version = ".".join(found.groups())
    return {
        "type": "library",
        "bom-ref": f"pkg:generic/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{name}@{version}",
        "cpe": f"cpe:2.3:a:{publisher}:{version}:*:*:*:*:*:*:*",
        "scope": "required",
    }


def sbom(parts: Parts) -> None:
    with open("Cargo.lock", "rb") as lock:
        checksums = {name_version(package): package.get("checksum") for package in tomllib.load(lock)["package"]}

    def component(package: dict) -> dict:
        one = {
            "type": "application" if package["name"] in PROGRAMS else "library",
            "bom-ref": purl(package),
            "name": package["name"],
            "version": package["version"],
            "purl": purl(package),
            # Excluded is what the build runs and the programs do not hold: macros, build scripts.
            "scope": "required" if parts.ships(package) else "excluded",
        }
        if package["description"]:
            one["description"] = " ".join(package["description"].split())
        if package["license"]:
            # Old manifests write `MIT/Apache-2.0`, which is no SPDX expression.
            one["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if package["repository"]:
            one["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        if checksum := checksums[name_version(package)]:
            one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if library := bundled(package):
            one["components"] = [library]
        return one

    by_purl = sorted(parts.packages.values(), key=purl)
    version, license = parts.packages[parts.programs[0]]["version"], parts.packages[parts.programs[0]]["license"]
    whole = f"pkg:generic/haris@{version}"
    refs = {id: purl(package) for id, package in parts.packages.items()}
    dependencies = [{"ref": whole, "dependsOn": [refs[id] for id in parts.programs]}]
    for id in sorted(refs, key=refs.__getitem__):
        library = bundled(parts.packages[id])
        needs = [refs[need] for need in parts.needs[id]] + ([library["bom-ref"]] if library else [])
        dependencies.append({"ref": refs[id], "dependsOn": sorted(needs)})
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": whole,
                "name": "haris",
                "version": version,
                "purl": whole,
                "licenses": [{"expression": license}],
            }
        },
        "components": [component(package) for package in by_purl],
        "dependencies": dependencies,
    }
    print(json.dumps(bom, indent=1))


def notices(parts: Parts) -> None:
    """Texts that many crates share are printed once, under the names of all of them."""
    texts: dict[str, tuple[str, list[str]]] = {}
    without = []
    for package in sorted(parts.packages.values(), key=purl):
        if not parts.ships(package) or not package["source"]:
            continue
        title = f"{package['name']} {package['version']} ({package['license']})"
        # At most one folder deep: that is where bundled C libraries keep theirs.
        files = sorted(
            file
            for file in [*folder(package).glob("*"), *folder(package).glob("*/*")]
            if file.is_file() and NOTICE.match(file.name) and file.suffix in ("", ".txt", ".md")
        )
        if not files:
            without.append(title)
        for file in files:
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            users = texts.setdefault(key, (text, []))[1]
            if title not in users:
                users.append(title)
    print("Haris holds the works below, each under its own licence.")
    print("\nThese came without a file of their licence, which their manifests name:\n")
    print("\n".join(without))
    for text, users in texts.values():
        print(f"\n{'=' * 100}\n" + "\n".join(users) + f"\n{'-' * 100}\n\n{text}")


match sys.argv[1:]:
    case ["sbom", target]:
        sbom(Parts(target))
    case ["notices", target]:
        notices(Parts(target))
    case _:
        sys.exit(__doc__)
