"""Tables of Apache Iceberg: the rows of the present snapshot are read, whatever its data files hold besides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyiceberg import manifest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType
from tests.support.settings import make_settings
from tests.support.team import serve_s3

from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError
from boostlab.scoring.output import check_output

FIRST = pa.table({"year": [2023, 2023], "city": ["Porto", None], "price": [1.0, 2.0]})
SECOND = pa.table({"year": [2024, 2024], "city": ["Faro", "Lisboa"], "price": [3.0, 4.0]})


def load(location: str, where: str = "") -> Table:
    return load_table(make_settings(dataset=location, target="price", where=where))


def prices(location: str, where: str = "") -> list[float]:
    return sorted(load(location, where).data["price"].to_pylist())


def create(warehouse: str, folder: Path, **properties: str) -> Any:
    """Return a table with two data files."""
    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=warehouse, **properties)
    catalog.create_namespace("sold")
    table = catalog.create_table("sold.homes", FIRST.schema)
    table.append(FIRST)
    table.append(SECOND)
    return table


def folder_of(table: Any) -> Path:
    return Path(table.location().removeprefix("file://"))


def locate(table: Any) -> str:
    """Return the metadata file as the catalog states it."""
    return str(table.metadata_location).removeprefix("file://")


def is_copied(location: str) -> bool:
    return open_source(location, ReadSettings()).content is not None


@pytest.fixture
def homes(tmp_path: Path) -> Any:
    return create(f"file://{tmp_path}/warehouse", tmp_path)


def test_the_rows_of_the_snapshot_are_read_and_no_others(homes: Any) -> None:
    before = locate(homes)
    homes.delete("price = 3")
    assert ds.dataset(sorted(map(str, folder_of(homes).rglob("*.parquet")))).count_rows() > 4
    table = load(locate(homes))
    assert sorted(table.data["price"].to_pylist()) == [1, 2, 4]
    assert prices(before) == [1, 2, 3, 4], "an older metadata file names an older snapshot"
    assert (table.name, table.describe()["source_type"]) == ("homes", "local")
    assert table.reading == f"Apache Iceberg, snapshot {homes.current_snapshot().snapshot_id}"
    assert prices(locate(homes), "year == 2024") == [4]
    assert not is_copied(locate(homes))


def test_the_folder_is_read_if_it_names_the_version(homes: Any) -> None:
    folder = folder_of(homes)
    newest = Path(locate(homes)).name
    with pytest.raises(DataError, match=rf"without a version-hint\.text: .* catalog states\. The newest one is .*/{newest}"):
        load(str(folder))
    (folder / "metadata" / "version-hint.text").write_text(newest)
    assert prices(str(folder)) == [1, 2, 3, 4]
    (folder / "metadata" / "version-hint.text").write_text(newest.removesuffix(".metadata.json") + "\n")
    assert prices(f"{folder}/") == [1, 2, 3, 4]
    (folder / "metadata" / "version-hint.text").write_text("7\n")
    with pytest.raises(DataError, match=rf"version-hint\.text states '7', and there is no v7\.metadata\.json .*/{newest}"):
        load(str(folder))
    for part in ("data", "data/*.parquet"):
        with pytest.raises(
            DataError,
            match=r"is a table of Apache Iceberg: .* Name that folder, or its metadata file\.",
        ):
            load(str(folder / part))


def test_rows_that_are_marked_as_deleted_are_not_read(homes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other writers delete: a file names the data file and the position of the row."""
    (data,) = (item.file.file_path for item in homes.scan(row_filter="year = 2024").plan_files())
    path = f"{homes.location()}/data/deleted.parquet"
    fields = [pa.field("file_path", pa.string(), nullable=False), pa.field("pos", pa.int64(), nullable=False)]
    numbered = [field.with_metadata({"PARQUET:field_id": str(2147483546 - place)}) for place, field in enumerate(fields)]
    target = path.removeprefix("file://")
    pq.write_table(pa.table([[data], [0]], schema=pa.schema(numbered)), target)
    deleted = manifest.DataFile.from_args(
        content=manifest.DataFileContent.POSITION_DELETES,
        file_path=path,
        file_format=manifest.FileFormat.PARQUET,
        partition=manifest.Record(),
        record_count=1,
        file_size_in_bytes=Path(target).stat().st_size,
    )
    deleted.spec_id = 0
    writer = manifest.ManifestWriterV2
    monkeypatch.setattr(writer, "content", lambda _: manifest.ManifestContent.DELETES)
    monkeypatch.setattr(
        writer, "_meta", property(lambda self: {**manifest.ManifestWriter._meta.fget(self), "content": "deletes"})
    )
    with homes.transaction() as transaction, transaction.update_snapshot().fast_append() as update:
        update.append_data_file(deleted)
    monkeypatch.undo()
    assert prices(locate(homes)) == [1, 2, 4]
    assert prices(locate(homes), "year == 2024") == [4]
    assert is_copied(locate(homes))


def test_columns_keep_their_values_when_they_get_another_name_or_are_new(homes: Any) -> None:
    with homes.update_schema() as update:
        update.rename_column("city", "town")
        update.rename_column("year", "city")
        update.add_column("rooms", manifest.IntegerType())
    homes.append(pa.table({"city": [2025], "town": ["Braga"], "price": [5.0], "rooms": pa.array([3], pa.int32())}))
    rows = load(locate(homes)).data.sort_by("price")
    assert rows["town"].to_pylist() == ["Porto", None, "Faro", "Lisboa", "Braga"]
    assert rows["city"].to_pylist() == [2023, 2023, 2024, 2024, 2025]
    assert rows["rooms"].to_pylist() == [None, None, None, None, 3]


def test_columns_have_the_types_of_the_table_and_structs_its_names(tmp_path: Path) -> None:
    rows = pa.table({"f": pa.array([1.1, 2.2], pa.float32()), "st": [{"p": 1}, {"p": 2}], "price": [1.0, 2.0]})
    catalog = SqlCatalog("lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("sold")
    table = catalog.create_table("sold.homes", rows.schema)
    table.append(rows)
    assert not is_copied(locate(table))
    with table.update_schema() as update:
        update.rename_column("st.p", "q")
    assert is_copied(locate(table))
    with table.update_schema() as update:
        update.update_column("f", DoubleType()).rename_column("st.q", "p")
    assert is_copied(locate(table))
    assert load(locate(table)).data.schema.field("f").type == pa.float64()


def test_the_folders_of_a_partition_are_no_columns(homes: Any) -> None:
    with homes.update_spec() as update:
        update.add_field("year", IdentityTransform(), "part")
    homes.append(pa.table({"year": [2025, 2026], "city": ["Braga", "Évora"], "price": [5.0, 6.0]}))
    assert list(folder_of(homes).rglob("part=*"))
    assert prices(locate(homes)) == [1, 2, 3, 4, 5, 6]
    assert set(load(locate(homes)).data.column_names) == {"year", "city", "price"}


def test_a_table_in_object_storage_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_s3("lake") as access:
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        endpoint = access["MLFLOW_S3_ENDPOINT_URL"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        homes = create("s3://lake/warehouse", tmp_path, **{"s3.endpoint": endpoint})
        homes.delete("price = 3")
        assert prices(locate(homes)) == [1, 2, 4]
        with homes.io.new_output(f"{homes.location()}/metadata/version-hint.text").create(overwrite=True) as hint:
            hint.write(Path(locate(homes)).name.encode())
        assert prices(homes.location()) == [1, 2, 4]


def test_says_why_a_table_cannot_be_read(homes: Any) -> None:
    with pytest.raises(DataError, match=r"is a table of Apache Iceberg without rows"):
        load(str(sorted(Path(locate(homes)).parent.glob("00000-*"))[0]))
    with pytest.raises(DataError, match=r"is a glob of metadata files, .* Name one of them\."):
        load(str(Path(locate(homes)).with_name("*.metadata.json")))
    moved = folder_of(homes).rename(folder_of(homes).with_name("moved"))
    with pytest.raises(DataError, match=r"that lacks a file: .* If the table was moved, move it back"):
        load(str(moved / "metadata" / Path(locate(homes)).name))
    moved.rename(folder_of(homes))
    Path(locate(homes)).write_text("{}")
    with pytest.raises(DataError, match=r"that cannot be read: its metadata file is damaged, or is none\. Write"):
        load(locate(homes))


def test_a_copy_is_not_larger_than_the_settings_allow(homes: Any) -> None:
    with homes.update_schema() as update:
        update.rename_column("city", "town")
    settings = make_settings(dataset=locate(homes), target="price", read={"max_gb": 1e-9})
    with pytest.raises(DataError, match=r"The table .*\.metadata\.json unpacks to .* or more"):
        load_table(settings)


def test_scores_do_not_replace_a_part_of_the_table(homes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data, *_) = folder_of(homes).rglob("*.parquet")
    source = open_source(locate(homes), ReadSettings())
    for output in (data, data.with_name("new.parquet")):
        with pytest.raises(DataError, match=r"-p output FILE"):
            check_output(output, locate(homes), source)
    check_output(tmp_path / "scored.parquet", locate(homes), source)
    monkeypatch.chdir(Path(locate(homes)).parent)
    assert open_source(f"./{Path(locate(homes)).name}", ReadSettings()).name == "homes"


def test_says_which_package_is_missing(homes: Any) -> None:
    code = f"""if True:
        import sys
        sys.modules["pyiceberg"] = None
        from boostlab.data.iceberg import open_iceberg
        open_iceberg({locate(homes)!r}, None)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is not installed: pip install 'boostlab[iceberg]'." in done.stderr.splitlines()[-1]
