"""Code that knows nothing of Haris checks a ledger: pymerkle the tree, cryptography the signatures,
and this file, written from the public formats, the notes in between."""

import base64
import hashlib
import io
import json
import pathlib
import struct
import sys
import urllib.request
import zipfile

import pymerkle
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import harness  # noqa: E402

REQUESTS = 300  # more than one full tile of 256 entries


class Key:
    """A verifier key, `name+hex(id)+base64(type || public key)` (C2SP signed-note)."""

    def __init__(self, text):
        self.name, self.id, encoded = text.split("+", 2)
        raw = base64.b64decode(encoded)
        self.type, self.public = raw[0], raw[1:]
        assert hashlib.sha256(self.name.encode() + b"\n" + raw).hexdigest()[:8] == self.id

    def verify(self, note):
        """Raises unless the note carries this key's signature."""
        blob = note.signatures[self.id]
        if self.type == 1:
            Ed25519PublicKey.from_public_bytes(self.public).verify(blob, note.text.encode())
        elif self.type == 6:
            time, signature = blob[:8], blob[8:]
            length8 = lambda text: bytes([len(text)]) + text.encode()  # noqa: E731
            signed = b"subtree/v1\n\0" + length8(self.name) + time + length8(note.origin)
            signed += struct.pack(">QQ", 0, note.size) + note.root
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, signed)
        else:
            raise AssertionError(f"key type {self.type}")


class Note:
    """A signed checkpoint (C2SP signed-note, tlog-checkpoint)."""

    def __init__(self, raw):
        text, _, signatures = raw.decode().rpartition("\n\n")
        self.text = text + "\n"
        self.origin, size, root = self.text.split("\n")[:3]
        self.size, self.root = int(size), base64.b64decode(root)
        self.signatures = {}
        for line in signatures.splitlines():
            dash, _name, encoded = line.split(" ")
            assert dash == "\u2014"
            blob = base64.b64decode(encoded)
            self.signatures[blob[:4].hex()] = blob[4:]


def strings(value):
    """Every string in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def leaves(raw):
    """The entries of a bundle's `leaves`: u64 index, u16 length, bytes."""
    entries, at = {}, 0
    while at < len(raw):
        index, length = struct.unpack_from(">QH", raw, at)
        entries[index] = raw[at + 10 : at + 10 + length]
        at += 10 + length
    return entries


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Verifier keys and an exported bundle of a guard that has seen some traffic."""
    mock = harness.Mock()
    haris = harness.Haris(tmp_path_factory.mktemp("haris"), mock)
    key = haris.key("traffic")
    for number in range(REQUESTS // 2):
        body = json.dumps({"model": f"gpt-4o-{number}", "messages": [{"role": "user", "content": "hello"}]})
        request = urllib.request.Request(
            f"{haris.url}/chat/completions", data=body.encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        urllib.request.urlopen(request).read()
    status = json.loads(haris.run("status", "--data", "data", "--format", "json"))
    keys = [Key(text) for text in set(strings(status)) if text.count("+") >= 2 and "/" in text.split("+")[0]]
    arguments = ["--from", "2020-01-01", "--to", "2100-01-01", "--output", "bundle.zip"]
    haris.run("ledger", "export", *arguments, "--data", "data")
    bundle = zipfile.ZipFile(io.BytesIO((haris.home / "bundle.zip").read_bytes()))
    haris.stop()
    mock.stop()
    return keys, {name: bundle.read(name) for name in bundle.namelist()}


def logs(files):
    names = sorted(name.removesuffix("checkpoint") for name in files if name.endswith("/checkpoint"))
    assert len(names) == 2, sorted(files)
    return names


def test_the_root_is_the_root_of_the_leaves(ledger):
    _, files = ledger
    for log in logs(files):
        note, entries = Note(files[log + "checkpoint"]), leaves(files[log + "leaves"])
        assert sorted(entries) == list(range(note.size)), "a range bundle of everything holds everything"
        tree = pymerkle.InmemoryTree(algorithm="sha256")
        for index in range(note.size):
            tree.append_entry(entries[index])
        assert tree.get_root() == note.root
    assert any(Note(files[log + "checkpoint"]).size >= REQUESTS for log in logs(files))


def test_every_signature_verifies_and_none_after_a_change(ledger):
    keys, files = ledger
    for log in logs(files):
        note = Note(files[log + "checkpoint"])
        own = [key for key in keys if key.name == note.origin]
        assert {key.type for key in own} >= {1}, "Ed25519 on every checkpoint"
        if note.origin.endswith("/evidence"):
            assert {key.type for key in own} >= {1, 6}, "ML-DSA-44 on those of the evidence log"
        for key in own:
            key.verify(note)
            forged = Note(files[log + "checkpoint"].replace(f"\n{note.size}\n".encode(), f"\n{note.size + 1}\n".encode(), 1))
            with pytest.raises(InvalidSignature):
                key.verify(forged)


def test_leaves_are_canonical_json_without_gaps(ledger):
    _, files = ledger
    for log in logs(files):
        counts = {}
        for _, entry in sorted(leaves(files[log + "leaves"]).items()):
            event = json.loads(entry)
            canonical = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert canonical.encode() == entry
            source = event["source"]
            counts.setdefault((source["node"], source["boot"]), []).append(source["n"])
        for numbers in counts.values():
            assert numbers == list(range(1, len(numbers) + 1))


def test_inclusion_proofs_of_another_library_hold_for_our_root(ledger):
    _, files = ledger
    for log in logs(files):
        note, entries = Note(files[log + "checkpoint"]), leaves(files[log + "leaves"])
        tree = pymerkle.InmemoryTree(algorithm="sha256")
        for index in range(note.size):
            tree.append_entry(entries[index])
        for index in {1, note.size // 2 + 1, note.size}:
            proof = tree.prove_inclusion(index, note.size)
            pymerkle.verify_inclusion(hashlib.sha256(b"\0" + entries[index - 1]).digest(), note.root, proof)
