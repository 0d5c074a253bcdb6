"""Sealing: what is sealed is unreadable, comes back whole, and is never half believed."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.sealed import KEY_BYTES, Seal, SealBroken, make_key, read_key

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(KEYS, st.text())
def test_a_sealed_text_comes_back(key: bytes, text: str) -> None:
    seal = Seal(key)
    assert seal.open(seal.close(text)) == text


@given(KEYS, st.text(alphabet="abcdefgh-", min_size=12))
def test_a_sealed_text_cannot_be_read(key: bytes, text: str) -> None:
    sealed = Seal(key).close(text)
    assert text not in sealed and text.encode() not in base64.b64decode(sealed)
    assert Seal(key).close(text) != sealed, "equal texts must not be seen to be equal"


@given(KEYS, st.text(min_size=1), st.data())
def test_a_changed_text_is_refused(key: bytes, text: str, data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(Seal(key).close(text)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken):
        Seal(key).open(base64.b64encode(bytes(raw)).decode())


@given(KEYS, st.text(), st.integers(0, 39))
def test_a_cut_text_is_refused(key: bytes, text: str, left: int) -> None:
    with pytest.raises(SealBroken):
        Seal(key).open(Seal(key).close(text)[:left])


@given(KEYS, KEYS, st.text())
def test_another_key_opens_nothing(key: bytes, other: bytes, text: str) -> None:
    if key != other:
        with pytest.raises(SealBroken):
            Seal(other).open(Seal(key).close(text))


def test_the_key_is_private_and_found_again(tmp_path: Path) -> None:
    seal = make_key(tmp_path / "key")
    assert os.stat(tmp_path / "key").st_mode & 0o777 == 0o600  # noqa: PTH116
    assert read_key(tmp_path / "key").open(seal.close("it is so")) == "it is so"
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key")
    with pytest.raises(SealBroken, match="cannot be read"):
        read_key(tmp_path / "no-key")
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(SealBroken, match="3 bytes"):
        read_key(tmp_path / "short")
