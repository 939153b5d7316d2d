#!/usr/bin/env python3
"""Holds a bill of materials against the official CycloneDX schema and against what must be true of ours.

    check_sbom.py FILE      needs cyclonedx-python-lib[json-validation]
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL

text = Path(sys.argv[1]).read_text(encoding="utf-8")
if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
    sys.exit(f"not CycloneDX 1.6: {error.data}")

bom = json.loads(text)
components = {one["bom-ref"]: one for one in bom["components"]}
libraries = {inner["bom-ref"]: inner for one in bom["components"] for inner in one.get("components", [])}
known = components.keys() | libraries.keys() | {bom["metadata"]["component"]["bom-ref"]}
assert len(components) == len(bom["components"]), "a name stands twice"

licensing = get_spdx_licensing()
for one in bom["components"]:
    PackageURL.from_string(one["purl"])
    ours = one["name"].startswith("haris-")
    assert ours or one["hashes"], f"no hash: {one['name']}"
    for license in one["licenses"]:
        unknown = licensing.validate(license["expression"]).errors
        assert not unknown, f"{one['name']}: {unknown}"
for one in bom["dependencies"]:
    assert {one["ref"], *one["dependsOn"]} <= known, one["ref"]
assert {one["ref"] for one in bom["dependencies"]} >= components.keys(), "a component without its dependencies"

# Every part is needed by something that is needed by the whole.
reached, waiting = set(), [bom["metadata"]["component"]["bom-ref"]]
needs = {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}
while waiting:
    if (ref := waiting.pop()) not in reached:
        reached.add(ref)
        waiting.extend(needs.get(ref, []))
assert reached == known, f"nothing needs {sorted(known - reached)}"

required = {one["name"] for one in bom["components"] if one["scope"] == "required"}
assert {"haris-ledger", "haris-verify", "tokio", "sqlx-core", "aws-lc-sys"} <= required
# Of tests, of other systems, and of features that are off.
assert not {"proptest", "insta", "windows-sys", "ring", "openssl"} & {one["name"] for one in bom["components"]}
assert {one["name"] for one in libraries.values()} == {"aws-lc", "sqlite", "jemalloc", "zstd"}
print(f"{len(components)} components, {len(required)} of them in the programs, {len(libraries)} bundled C libraries")
