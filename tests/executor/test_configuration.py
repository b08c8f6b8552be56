"""Covalent's configuration, read without Covalent: it says where the server and its database are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toml
from covalent._shared_files.utils import format_server_url

from covalent_awsbatch_plugin import configuration
from covalent_awsbatch_plugin.errors import SettingsError


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("COVALENT_DISPATCHER_ADDR")
    monkeypatch.delenv("COVALENT_SVC_PORT")

    def write(content: dict[str, Any]) -> None:
        (tmp_path / "covalent.conf").write_text(toml.dumps(content))

    return write


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("localhost", 48008),
        ("covalent.example.com", 443),
        ("covalent.example.com", 80),
        ("http://10.0.0.7", 8080),
        ("https://covalent.example.com", 443),
    ],
)
def test_the_server_is_where_covalents_client_finds_it(configured, address, port):
    configured({"dispatcher": {"address": address, "port": port}})
    assert configuration.server_url() == format_server_url(address, port)


def test_without_a_configuration_it_is_where_covalent_puts_it(configured, monkeypatch):
    assert configuration.server_url() == "http://localhost:48008"
    assert configuration.database_path() == ""
    monkeypatch.setenv("COVALENT_DISPATCHER_ADDR", "elsewhere")
    monkeypatch.setenv("COVALENT_SVC_PORT", "1234")
    assert configuration.server_url() == "http://elsewhere:1234"


def test_the_database_is_where_the_configuration_says(configured):
    configured({"dispatcher": {"db_path": "/data/dispatcher.sqlite"}})
    assert configuration.database_path() == "/data/dispatcher.sqlite"


def test_a_configuration_that_cannot_be_read_is_said_to_be_so(configured, tmp_path):
    (tmp_path / "covalent.conf").write_text("[dispatcher")
    with pytest.raises(SettingsError, match=r"covalent\.conf' cannot be read"):
        configuration.server_url()
