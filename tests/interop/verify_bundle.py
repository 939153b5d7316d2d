#!/usr/bin/env python3
"""Checks an evidence bundle of Haris with code that Haris had no hand in: zipfile reads it, pymerkle builds the
tree, cryptography checks signatures, hmac the commitments. Written from docs/bundle.md and the public formats.

    pip install pymerkle cryptography        # cryptography 50 or newer also checks the ML-DSA-44 signatures
    python tests/interop/verify_bundle.py BUNDLE --key KEY [--key KEY ...]

KEY is a verifier key as `haris status` prints it, or a file that holds some, one a line. Exit status: 0 when
everything holds, 1 when something does not, 2 for bad usage. For bundles of up to a few 100,000 events: it is a
second opinion, not the tool for every day.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys
import zipfile

import pymerkle
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older cryptography: Ed25519 alone is checked, and said
    MLDSA44PublicKey = None

LOGS = ("evidence", "traffic")


class NotProven(Exception):
    pass


def demand(holds, what):
    if not holds:
        raise NotProven(what)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(entry):
    return sha256(b"\0", entry)


def node_hash(left, right):
    return sha256(b"\1", left, right)


# --- signed notes ---------------------------------------------------------------------------------------------------


class Key:
    """`name+hex(id)+base64(type || public key)` (C2SP signed-note)."""

    def __init__(self, text):
        self.name, self.id, encoded = text.split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        self.type, self.public = raw[0], raw[1:]
        demand(sha256(self.name.encode(), b"\n", raw)[:4].hex() == self.id, f"key {text[:40]} is not copied whole")

    def check(self, note):
        blob = note.signatures.get((self.name, self.id))
        demand(blob is not None, f"{note.origin}: no signature by the given key {self.name}+{self.id}")
        try:
            if self.type == 1:
                Ed25519PublicKey.from_public_bytes(self.public).verify(blob, note.text.encode())
                return "Ed25519"
            if self.type == 6 and MLDSA44PublicKey is None:
                return "ML-DSA-44 (NOT checked: cryptography is too old)"
            if self.type == 6:
                time, signature = blob[:8], blob[8:]
                name, origin = self.name.encode(), note.origin.encode()
                signed = b"subtree/v1\n\0" + bytes([len(name)]) + name + time + bytes([len(origin)]) + origin
                signed += struct.pack(">QQ", 0, note.size) + note.root
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, signed)
                note.sealed_by = struct.unpack(">Q", time)[0]
                return "ML-DSA-44"
        except InvalidSignature:
            raise NotProven(f"{note.origin}: the signature by {self.name}+{self.id} is wrong") from None
        raise NotProven(f"key type {self.type:02x} is unknown")


class Note:
    """A signed checkpoint (C2SP signed-note and tlog-checkpoint)."""

    def __init__(self, raw):
        text, blank, lines = raw.decode().rpartition("\n\n")
        demand(blank, "the checkpoint is not a signed note")
        self.text = text + "\n"
        self.origin, size, root = self.text.split("\n")[:3]
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        self.sealed_by = None
        self.signatures = {}
        for line in lines.splitlines():
            dash, name, encoded = line.split(" ")
            demand(dash == "\u2014", "a signature line starts with an em dash")
            blob = base64.b64decode(encoded, validate=True)
            self.signatures[name, blob[:4].hex()] = blob[4:]


# --- tiles ----------------------------------------------------------------------------------------------------------


def tile_path(level, index, width):
    digits = f"{index:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


def peaks_root(peaks):
    """The root of a tree from the roots of its complete subtrees, largest first: (height, hash)."""
    stack = []
    for height, hash_ in peaks:
        while stack and stack[-1][0] == height:
            hash_ = node_hash(stack.pop()[1], hash_)
            height += 1
        stack.append((height, hash_))
    if not stack:
        return sha256()
    root = stack.pop()[1]
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root


class Tiles:
    """The tiles of one log, each believed once it fits the one above it, up to the root."""

    def __init__(self, files, log, note):
        self.files, self.log, self.size, self.known = files, log, note.size, {}
        peaks = []
        for level in reversed(range(8)):
            hashes = note.size >> (8 * level)
            if hashes % 256:
                tile = self.read(level, hashes // 256, hashes % 256)
                self.known[level, hashes // 256] = tile
                peaks += [(8 * level, one) for one in tile]
        demand(peaks_root(peaks) == note.root, f"{log}: the right-most tiles do not give the checkpoint's root")

    def read(self, level, index, width):
        name = f"{self.log}/{tile_path(level, index, width)}"
        demand(name in self.files, f"{name} is missing")
        raw = self.files[name]
        demand(len(raw) == 32 * width, f"{name} has the wrong length")
        return [raw[at : at + 32] for at in range(0, len(raw), 32)]

    def tile(self, level, index):
        if (level, index) not in self.known:
            demand((index + 1) * 256 <= self.size >> (8 * level), f"{self.log}: tile {level}/{index} is beyond the tree")
            tile = self.read(level, index, 256)
            above = self.tile(level + 1, index // 256)[index % 256]
            demand(peaks_root([(8 * level, one) for one in tile]) == above,
                   f"{self.log}/{tile_path(level, index, 256)} does not fit the tile above it")
            self.known[level, index] = tile
        return self.known[level, index]

    def leaf(self, index):
        demand(index < self.size, f"{self.log}: entry {index} is beyond the checkpoint")
        return self.tile(0, index // 256)[index % 256]


# --- the bundle -----------------------------------------------------------------------------------------------------


def records(raw):
    at = 0
    while at < len(raw):
        index, length = struct.unpack_from(">QH", raw, at)
        entry = raw[at + 10 : at + 10 + length]
        demand(len(entry) == length, "leaves end inside an entry")
        yield index, entry
        at += 10 + length


def check_log(files, part, keys, said):
    log = part["log"]
    note = Note(files[f"{log}/checkpoint"])
    own = [key for key in keys if key.name == note.origin]
    demand(own, f"no key of {note.origin} was given")
    signed = [key.check(note) for key in own]
    tiles = Tiles(files, log, note)
    entries = list(records(files[f"{log}/leaves"]))
    for index, entry in entries:
        demand(part["from"] <= index < part["to"], f"{log}: entry {index} lies outside the range")
        demand(tiles.leaf(index) == leaf_hash(entry), f"{log}: entry {index} was altered")
    indices = [index for index, _ in entries]
    demand(indices == sorted(set(indices)), f"{log}: entries are out of order or there twice")
    said.append(f"{note.origin}: {note.size} entries, signed with {', '.join(signed)}")
    if part["scope"] == "range":
        demand(indices == list(range(part["from"], part["to"])), f"{log}: entries are missing")
        said.append(f"{log}: complete: {len(indices)} of {part['to'] - part['from']}")
    else:
        said.append(f"{log}: selection: {len(indices)} proven; nothing is shown about events left out")
    if indices == list(range(note.size)):
        # The whole log is here: another library's tree must have the same root.
        tree = pymerkle.InmemoryTree(algorithm="sha256")
        for _, entry in entries:
            tree.append_entry(entry)
        demand(tree.get_root() == note.root, f"{log}: pymerkle computes another root")
        if note.size:
            number = note.size // 2 + 1
            proof = tree.prove_inclusion(number, note.size)
            pymerkle.verify_inclusion(leaf_hash(entries[number - 1][1]), note.root, proof)
        said.append(f"{log}: pymerkle computes the same root")
    return note, tiles, entries


def check_anchor(files, notes, tiles, said):
    if "traffic/anchor" not in files:
        said.append("traffic: NOT tied to the evidence log")
        return
    [(index, entry)] = records(files["traffic/anchor"])
    demand(tiles["evidence"].leaf(index) == leaf_hash(entry), f"evidence: the anchor, entry {index}, was altered")
    event, note = json.loads(entry), notes["traffic"]
    named = (event["data"]["origin"], event["data"]["size"], event["data"]["root"])
    demand(event["kind"] == "traffic.anchored/1", "the anchor is no anchor")
    demand(named == (note.origin, note.size, "sha256:" + note.root.hex()), "the anchor names another checkpoint")
    said.append(f"traffic: its checkpoint is entry {index} of the evidence log")


def check_payloads(files, entries, said):
    events = {}
    opened = [name for name in files if name.startswith("payloads/") and not name.endswith(".key")]
    if opened:
        for _, entry in (one for log in entries.values() for one in log):
            event = json.loads(entry)
            events[event["id"]] = event
    for member in opened:
        _, event, name = member.split("/")
        demand(event in events, f"{member} belongs to no event of this bundle")
        [payload] = [one for one in events[event]["payloads"] if one["name"] == name]
        key = bytes.fromhex(files[member + ".key"].decode().strip())
        commit = hmac.new(key, files[member], hashlib.sha256).hexdigest()
        demand(payload["commit"] == "hmac-sha256:" + commit, f"{member} is not what its event committed to")
        demand(payload["bytes"] == len(files[member]), f"{member} has another length than its event says")
    if opened:
        said.append(f"{len(opened)} payloads are what their events committed to")


def verify(path, keys):
    """What holds, as lines. Raises NotProven at the first thing that does not."""
    said = []
    with zipfile.ZipFile(path) as bundle:
        demand(bundle.testzip() is None, "the zip's checksums are wrong")
        demand(len(set(bundle.namelist())) == len(bundle.namelist()), "a file is there twice")
        demand(all(one.compress_type == zipfile.ZIP_STORED for one in bundle.infolist()), "a file is compressed")
        files = {name: bundle.read(name) for name in bundle.namelist()}
    manifest = json.loads(files["manifest.json"])
    demand(manifest["schema"] == "haris.bundle/1", "it is no haris.bundle/1")
    notes, tiles, entries = {}, {}, {}
    for part in manifest["logs"]:
        log = part["log"]
        demand(log in LOGS, f"there is no log {log}")
        notes[log], tiles[log], entries[log] = check_log(files, part, keys, said)
    if "traffic" in notes and "evidence" in notes:
        check_anchor(files, notes, tiles, said)
    check_payloads(files, entries, said)
    if notes["evidence"].sealed_by is not None:
        said.append(f"sealed by {notes['evidence'].sealed_by} (POSIX seconds, operator's clock)")
    return said


def read_keys(values):
    for value in values:
        path = pathlib.Path(value)
        if "+" in value and not path.exists():
            yield Key(value)
        else:
            lines = (line.strip() for line in path.read_text().splitlines())
            yield from (Key(line) for line in lines if line and not line.startswith("#"))


def main():
    parser = argparse.ArgumentParser(description="Checks an evidence bundle of Haris without any code of Haris.")
    parser.add_argument("bundle")
    parser.add_argument("--key", action="append", required=True, help="a verifier key, or a file of them")
    args = parser.parse_args()
    try:
        said = verify(args.bundle, list(read_keys(args.key)))
    except NotProven as error:
        print(f"NOT PROVEN: {error}")
        return 1
    except (KeyError, ValueError, struct.error, zipfile.BadZipFile) as error:
        print(f"NOT PROVEN: the bundle is malformed: {error!r}")
        return 1
    print("signed by the operator only; this does not protect against the operator")
    print("\n".join(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
