from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from boostlab.redaction import environment_secrets, find_secrets, redact, redact_parameters

KEY = "Zm9yIHRoZSB0ZXN0cyBvbmx5LCBub3Qgb2YgYW4gYWNjb3VudA+/=="
ADDRESS = "postgresql://me:s3cr%40t!@db.example.com/runs"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (ADDRESS, "postgresql://me:***@db.example.com/runs"),
        ("mysql+pymysql://me:p@ss:word@h/db", "mysql+pymysql://me:***@h/db"),
        ("http://:abcd@h:5000", "http://:***@h:5000"),
        ("http://me:x@h", "http://me:***@h"),
        ("postgresql://h/db?user=me&password=abc&sslmode=require", "postgresql://h/db?user=me&password=***&sslmode=require"),
        ("https://h/api?token=abc#top", "https://h/api?token=***#top"),
        ("https://h/api?access_token=abc", "https://h/api?access_token=***"),
        ("https://h/api?api_key=abc", "https://h/api?api_key=***"),
        ("see http://a:b@c and http://d:e@f", "see http://a:***@c and http://d:***@f"),
        (f"AccountName=lake;AccountKey={KEY};BlobEndpoint=x", "AccountName=lake;AccountKey=***;BlobEndpoint=x"),
        (f"read\n{{'to': 'accountkey = {KEY};AccountName=a'}}", "read\n{'to': 'accountkey = ***;AccountName=a'}"),
        ("BlobEndpoint=https://h;SharedAccessSignature=sv=1&sig=ab", "BlobEndpoint=https://h;SharedAccessSignature=***"),
    ],
)
def test_masks_the_password_of_an_address_that_it_was_not_told_of(address: str, shown: str) -> None:
    assert redact(address, ()) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://h:5000/a@b",
        "sqlite:////tmp/x.db",
        "http://me@h",
        "a = 1 if key == 2 else 3",
        "a: b@c",
        "f(x); monkey=1",
        "key=x;y",
        "AccountKey = read_key()",
        "a; pwd=os.getcwd()",
    ],
)
def test_leaves_text_without_a_password_alone(text: str) -> None:
    assert redact(text, ()) == text


@pytest.mark.parametrize(
    "name", ["db_password", "PASSWD", "api_key", "apikey", "access_key", "private_key", "hf_token", "credentials"]
)
def test_finds_the_value_of_a_parameter_named_like_a_secret(name: str) -> None:
    assert find_secrets({name: "hunter22", "eta": 0.1, "experiment": "open"}) == {"hunter22"}


def test_finds_a_percent_encoded_password_in_both_forms() -> None:
    assert find_secrets({"tracking_uri": ADDRESS}) >= {"s3cr%40t!", "s3cr@t!"}


@pytest.mark.parametrize("value", [["a", "hunter22"], {"x": {"y": "hunter22"}}])
def test_finds_secrets_within_lists_and_mappings(value: Any) -> None:
    assert find_secrets({"tokens": value}) == {"hunter22"}


def test_does_not_mask_a_short_secret_everywhere() -> None:
    secrets = find_secrets({"tracking_uri": "http://me:abc@h", "password": "xy", "token": "long"})

    assert secrets == {"long"}
    assert redact("abc xy long http://me:abc@h", secrets) == "abc xy *** http://me:***@h"


def test_masks_the_longer_of_two_secrets_first() -> None:
    assert redact("secret-more secret", {"secret", "secret-more"}) == "*** ***"


@pytest.mark.parametrize("secret", ["hunter22", 'quo"te\\back', "line\nbreak", 12345678])
def test_masks_a_secret_everywhere_in_a_notebook(secret: str | int) -> None:
    cell = nbformat.v4.new_code_cell(
        f"db_password = {secret!r}", outputs=[nbformat.v4.new_output("stream", text=f"with {secret}")]
    )
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"parameters": {"db_password": secret, "eta": 0.1}}})
    text = nbformat.writes(redact(notebook, find_secrets({"db_password": secret})))

    assert str(secret) not in text
    assert json.dumps(secret).strip('"') not in text
    assert repr(secret).strip("'") not in json.loads(text)["cells"][0]["source"][0]
    assert json.loads(text)["metadata"]["papermill"]["parameters"]["eta"] == 0.1


def test_changes_a_copy_and_not_what_it_is_given() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("hunter22")])
    copy = redact(notebook, {"hunter22"})

    assert isinstance(copy, nbformat.NotebookNode)
    assert (copy.cells[0].source, notebook.cells[0].source) == ("***", "hunter22")


def test_records_parameters_without_their_secrets() -> None:
    given = {"api_key": 12345678, "tracking_uri": ADDRESS, "note": "s3cr@t! is it", "token": "", "eta": 0.1}

    assert redact_parameters(given) == {
        "api_key": "***",
        "tracking_uri": "postgresql://me:***@db.example.com/runs",
        "note": "*** is it",
        "token": "",
        "eta": 0.1,
    }


@pytest.mark.parametrize(
    ("name", "value"), [("max_tokens", 1000), ("n_tokens", 5000), ("tokenizer", "bpe-large"), ("use_token", True)]
)
def test_takes_an_amount_for_no_secret(name: str, value: object) -> None:
    assert find_secrets({name: value}) == frozenset()
    assert redact_parameters({name: value}) == {name: value}


def test_does_not_mask_a_short_secret_within_a_word() -> None:
    assert redact("10000 test_rmse 1000 test", {"1000", "test"}) == "10000 test_rmse *** ***"


@pytest.mark.parametrize("secret", ["fish&chips", "a<b>c-long", 'it\'s "quoted"', "café/ü&%20x"])
def test_masks_a_secret_in_a_page_in_json_and_in_an_address(secret: str) -> None:
    import html
    import json
    from urllib.parse import quote

    from markupsafe import escape

    pages = [html.escape(secret), html.escape(secret, quote=False), str(escape(secret))]
    shown = [*pages, json.dumps(secret), quote(secret, safe="")]
    masked = redact(shown, find_secrets({"password": secret}))
    assert [text.strip('"') for text in masked] == ["***"] * len(shown)


def test_masks_a_secret_that_is_a_key() -> None:
    assert redact({"hunter22": {"a hunter22": 1}}, {"hunter22"}) == {"***": {"a ***": 1}}


def test_masks_a_password_with_slashes_of_a_database() -> None:
    assert redact("postgresql://me:a/b/c@host/runs", ()) == "postgresql://me:***@host/runs"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("Driver=x;Server=h;Uid=me;Pwd=abcd;", {"abcd"}),
        ("Server=h;Uid=me;Pwd={pa;ss wd};", {"pa;ss wd"}),
        ("Server = h ; User Id = me ; Password = my pass", {"my pass"}),
        ('Server=h;Password="a;bcdef";', {"a;bcdef"}),
        ("url=h;AccountKey = abcd==", {"abcd=="}),
        ("url=h;Client Secret=abcd;AccessToken=efgh", {"abcd", "efgh"}),
        ("a = 1; b = 2", set()),
        ("f(x); password=getpass()", set()),
        ("password=True", set()),
        ("Pwd=;Server=h", set()),
    ],
)
def test_finds_the_secrets_of_a_connection_string(text: str, secrets: set[str]) -> None:
    assert find_secrets({"connection": text}) >= secrets
    assert bool(find_secrets({"connection": text})) == bool(secrets)
    assert not any(secret in redact(text, find_secrets({"connection": text})) for secret in secrets)


def test_finds_the_credentials_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    given = {
        "PGPASSWORD": "hunter22",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "OPENAI_API_KEY": "sk-abcdef",
        "GH_TOKEN": "ghp_123456",
        "DATABASE_URL": "postgresql://me:inside99@host/runs",
        "AZURE_STORAGE_KEY": "azure-key",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=lake;AccountKey=another-key;EndpointSuffix=core.windows.net",
    }
    paths = {"PWD": str(tmp_path), "MY_TOKEN": str(tmp_path)}
    ordinary = {"TOKENIZERS_PARALLELISM": "false", "KEY_FILE": "abcdefgh", "A": "b", **paths}
    for name, value in {**given, **ordinary}.items():
        monkeypatch.setenv(name, value)
    keys = {"azure-key", "another-key"}
    assert environment_secrets() == {"hunter22", "wJalrXUtnFEMI", "sk-abcdef", "ghp_123456", "inside99", *keys}
