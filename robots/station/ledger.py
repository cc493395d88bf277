"""The ledger: one signed record a batch, each holding the hash of the one before it.

An append-only file of length-prefixed signed records. A record is on the disk before anyone is
told of it; a torn last record was never told and is cut off when the file is opened.
"""

import hashlib
import os
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from robots.wire import codec
from robots.wire.records import LedgerRecord, Signed
from robots.wire.signing import SignatureRefused, SigningKey, verify

_LENGTH = struct.Struct("<I")


class LedgerBroken(Exception):
    """The chain does not hold: a record was changed, left out, or signed by another."""


class Ledger:
    """A station's ledger.

    Args:
        path: Its file, made on first use.
        key: The station's signing key.

    Raises:
        LedgerBroken: The file was changed.
    """

    def __init__(self, path: Path, key: SigningKey) -> None:
        self._path = path
        self._key = key
        self._records: dict[str, Signed] = {}
        self.head_sha256 = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        for signed, record, end in _checked(path, {key.public}):
            self._records[record.batch_id] = signed
            self.head_sha256 = sha256_of(signed)
            whole = end
        if path.exists() and path.stat().st_size > whole:
            os.truncate(path, whole)

    def __len__(self) -> int:
        return len(self._records)

    def find(self, batch_id: str) -> Signed | None:
        """The signed record of a batch, if it has one."""
        return self._records.get(batch_id)

    def append(self, record: LedgerRecord) -> Signed:
        """Chain, sign and store a record; a batch is recorded once, later calls return the first.

        Raises:
            OSError: It could not be written; nothing was recorded.
        """
        known = self._records.get(record.batch_id)
        if known is not None:
            return known
        chained = msgspec.structs.replace(record, previous_sha256=self.head_sha256)
        signed = self._key.sign(chained)
        body = codec.encode(signed)
        existed = self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, _LENGTH.pack(len(body)) + body)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if not existed:
            _sync_folder(self._path.parent)
        self._records[record.batch_id] = signed
        self.head_sha256 = sha256_of(signed)
        return signed


def sha256_of(signed: Signed) -> str:
    """Hash by which the next record, and the journal, point at this one."""
    return hashlib.sha256(signed.body + signed.signature).hexdigest()


def read_ledger(path: Path, trusted: Collection[bytes]) -> list[LedgerRecord]:
    """Read a ledger and check its signatures and its chain.

    Raises:
        LedgerBroken: Names the record that does not fit.
    """
    return [record for _, record, _ in _checked(path, trusted)]


def _checked(path: Path, trusted: Collection[bytes]) -> Iterator[tuple[Signed, LedgerRecord, int]]:
    """Records whose signature and chain hold, with the offset at which each ends."""
    head = ""
    for number, (signed, end) in enumerate(_read(path)):
        try:
            record = verify(signed, LedgerRecord, trusted)
        except SignatureRefused as error:
            raise LedgerBroken(f"{path}: record {number}: {error}") from error
        if record.previous_sha256 != head:
            raise LedgerBroken(f"{path}: record {number} does not follow the one before it")
        head = sha256_of(signed)
        yield signed, record, end


def _read(path: Path) -> Iterator[tuple[Signed, int]]:
    """Whole records with the offset at which each ends."""
    if not path.exists():
        return
    content = path.read_bytes()
    offset = 0
    while offset + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, offset)
        end = offset + _LENGTH.size + length
        if end > len(content):
            return
        try:
            signed = codec.decode(content[offset + _LENGTH.size : end], Signed)
        except codec.DecodeError as error:
            raise LedgerBroken(f"{path}: at byte {offset}: {error}") from error
        yield signed, end
        offset = end


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
