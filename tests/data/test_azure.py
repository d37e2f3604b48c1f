"""Tables in Azure's storage, read from its emulator on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from pyarrow import fs
from tests.support.azure import ACCOUNT, KEY, serve_azure, sign_access
from tests.support.servers import free_port
from tests.support.settings import make_settings

from boostlab.data.azure import connect_azure
from boostlab.data.contents import identify_files
from boostlab.data.files import find_files
from boostlab.data.storage import find_stored
from boostlab.data.table import load_table
from boostlab.errors import DataError

FRAME = pd.DataFrame({"size": [1.5, None, 4.0], "city": ["Porto", "Faro", None], "price": [10, 20, 30]})
HOST = f"{ACCOUNT}.dfs.core.windows.net"
SIGNATURE = sign_access()
VARIABLES = ("KEY", "ACCOUNT_KEY", "SAS_TOKEN", "CONNECTION_STRING")


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """An emulator with tables in a container; yields the connection string."""
    with serve_azure() as stated:
        host = stated.split("BlobEndpoint=")[1].split("/")[2]
        places = {f"{kind}_storage_authority": host for kind in ("blob", "dfs")}
        schemes = {f"{kind}_storage_scheme": "http" for kind in ("blob", "dfs")}
        system = fs.AzureFileSystem(ACCOUNT, account_key=KEY, **places, **schemes)
        system.create_dir("lake")
        for path in ("t.parquet", "t.csv", "changed.parquet", "many/year=2024/a.parquet", "many/year=2025/a.parquet"):
            with system.open_output_stream(f"lake/{path}") as stream:
                stream.write(FRAME.to_csv(index=False).encode() if path.endswith(".csv") else FRAME.to_parquet(index=False))
        yield stated


@pytest.fixture
def lake(emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of the container, whose keys are in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator)
    return f"abfs://lake@{HOST}"


def load(address: str) -> Any:
    return load_table(make_settings(dataset=address, target="price"))


@pytest.mark.parametrize(
    ("path", "rows"), [("t.parquet", 3), ("t.csv", 3), ("many", 6), ("many/*/*.parquet", 6), ("many/year=2024/*.parquet", 3)]
)
def test_a_file_a_folder_and_a_glob_are_read(path: str, rows: int, lake: str) -> None:
    table = load(f"{lake}/{path}")
    assert (len(table), table.data["price"].to_pylist()[:3]) == (rows, [10, 20, 30])
    assert ("year" in table.features) == path.startswith("many")
    assert table.describe()["source"] == f'{{"uri": "{lake}/{path}"}}'


def test_a_file_that_was_written_anew_is_another_one(lake: str) -> None:
    (file,) = find_stored(f"{lake}/changed.parquet")
    before = identify_files([file])
    assert before == identify_files([file])
    with file.system.open_output_stream(file.path) as stream:
        stream.write(FRAME.to_parquet(index=False))
    assert before != identify_files([file])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nothing.parquet", "There is no file .*nothing.parquet"),
        ("none/*.csv", r"There is no file .*none/\*\.csv"),
    ],
)
def test_says_what_is_not_there(address: str, message: str, lake: str) -> None:
    with pytest.raises(DataError, match=message):
        find_files(f"{lake}/{address}")
    with pytest.raises(DataError, match="There is no container 'elsewhere'"):
        find_files(f"abfs://elsewhere@{HOST}/t.parquet")


def test_says_that_access_is_refused(lake: str, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator.replace(KEY, "b3RoZXIta2V5"))
    with pytest.raises(DataError, match=r"refuses access to .*t\.csv\. Set AZURE_STORAGE_KEY") as caught:
        find_files(f"{lake}/t.csv")
    assert "b3RoZXIta2V5" not in str(caught.value)


def test_says_that_a_server_does_not_answer(lake: str, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = emulator.split("127.0.0.1:")[1].split("/")[0]
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator.replace(port, str(free_port())))
    with pytest.raises(DataError, match="does not answer"):
        find_files(f"{lake}/t.csv")


def test_the_keys_of_another_account_are_not_used(lake: str) -> None:
    with pytest.raises(DataError, match=rf"is of the account '{ACCOUNT}', and the address names 'other'"):
        find_files(f"{lake.replace(f'@{ACCOUNT}', '@other')}/t.csv")


@pytest.mark.parametrize(
    ("variable", "value"), [("KEY", KEY), ("ACCOUNT_KEY", KEY), ("SAS_TOKEN", SIGNATURE), ("SAS_TOKEN", f"?{SIGNATURE}")]
)
def test_keys_and_signatures_have_variables_of_their_own(
    variable: str, value: str, lake: str, emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator.replace(f"AccountKey={KEY};", ""))
    with pytest.raises(DataError, match="gives no access: it has neither AccountKey=… nor SharedAccessSignature=…"):
        find_files(f"{lake}/t.csv")
    monkeypatch.setenv(f"AZURE_STORAGE_{variable}", value)
    assert len(load(f"{lake}/t.csv")) == 3


def test_a_signature_may_stand_in_the_connection_string(lake: str, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = emulator.replace(f"AccountKey={KEY}", f"SharedAccessSignature={SIGNATURE}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", signed)
    assert len(load(f"{lake}/t.csv")) == 3


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KEY", "not-base64!s3cret", "The key in AZURE_STORAGE_KEY cannot be one: .* in base64"),
        ("SAS_TOKEN", "s3cret", "The signature in AZURE_STORAGE_SAS_TOKEN cannot be one: it has no sig="),
        ("SAS_TOKEN", "sv=2022-11-02&se=2020-01-01&sig=s3cret", "has expired: it was valid until 2020-01-01"),
        (
            "CONNECTION_STRING",
            f"AccountName={ACCOUNT};AccountKey=not base64 s3cret",
            "The key in AZURE_STORAGE_CONNECTION_STRING",
        ),
        ("CONNECTION_STRING", "s3cret", "gives no access"),
        ("CONNECTION_STRING", "UseDevelopmentStorage=true", "does not say where the emulator is"),
        *(
            ("CONNECTION_STRING", f"AccountKey={KEY};BlobEndpoint={endpoint}", "The BlobEndpoint in .* It takes https://lab.blob")
            for endpoint in (
                "http://[::1/lab",
                "http://127.0.0.1:99999999/lab",
                "127.0.0.1/lab",
                "ftp://127.0.0.1/lab",
                "https://h",
            )
        ),
    ],
)
def test_says_which_variable_is_wrong_and_does_not_show_it(
    variable: str, value: str, message: str, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv(f"AZURE_STORAGE_{variable}", value)
    with pytest.raises(DataError, match=message) as caught:
        find_files(f"{lake}/t.csv")
    assert "s3cret" not in str(caught.value) and KEY not in str(caught.value)


def test_variables_are_read_as_people_paste_them(lake: str, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (emulator.lower().replace(KEY.lower(), KEY), f'"{emulator.replace(";", " ; ")}"\n', f"{emulator}\n"):
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        assert len(load(f"{lake}/t.csv")) == 3
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", emulator.replace(f"AccountKey={KEY};", ""))
    monkeypatch.setenv("AZURE_STORAGE_KEY", f" {KEY}\n")
    assert len(load(f"{lake}/t.csv")) == 3


def test_an_account_of_another_cloud_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "")
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    system = connect_azure("lake.dfs.core.example")
    assert system.equals(
        fs.AzureFileSystem(
            "lake", account_key=KEY, blob_storage_authority=".blob.core.example", dfs_storage_authority=".dfs.core.example"
        )
    )
    assert not system.equals(connect_azure("lake.dfs.core.windows.net"))
