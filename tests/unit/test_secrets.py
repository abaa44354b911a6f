"""Secrets are read in one place, by the name of a variable or a file, and no message repeats one."""

from __future__ import annotations

from pathlib import Path

import pytest

from waitctl.domain.errors import MissingCredentialError
from waitctl.infrastructure.secrets import read_secrets


def test_secrets_come_in_the_order_of_the_config_without_blanks(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file, secret in zip(files, (b" in a file\n", b"\xffodd\r\n"), strict=True):
        file.write_bytes(secret)
    environ = {"A": "in a variable ", "B": "b"}
    assert read_secrets(("B", "A"), files, "its", environ) == ["b", "in a variable", "in a file", "\udcffodd"]
    assert read_secrets((), (), "its", environ) == []


@pytest.mark.parametrize("content", [None, b"", b" \n"])
def test_a_secret_that_is_missing_is_named_by_its_place(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "place"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MissingCredentialError, match=f"^shop's secret is missing: .*{file}"):
        read_secrets((), [file], "shop's", {})
    variables = {} if content is None else {"PLACE": content.decode()}
    with pytest.raises(MissingCredentialError, match=r"^shop's secret is missing: \$PLACE is not set$"):
        read_secrets(("OTHER", "PLACE"), (), "shop's", {"OTHER": "s3cret", **variables})
