"""Files that were set aside as damaged are taken over, as far as they can be read; another agent's
are not, unless it is said."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.storage.errors import StateDirError, StorageError
from agent.storage.file.backup import schema_backups
from agent.storage.file.identity import owner_at
from agent.storage.file.state_dir import FILE, refusal
from agent.storage.store import Store
from agent.storage.upkeep.adopt import adopt, give_over
from agent.storage.upkeep.look import look_at, set_aside_in
from agent.storage.upkeep.restore import restore
from agent.telemetry import NullTelemetry
from tests.storage.upkeep.files import UNDELIVERED, put_file_of_5, rows_of, waiting_events

OURS = "plant/site/area/line/pitter/pitwatch"
THEIRS = "plant/site/area/line-2/pitter/pitwatch"
PAGE = 4096


def new_state(folder: Path, owner: str = OURS) -> Path:
    store = Store(folder, NullTelemetry(), owner=owner)
    assert store.close()
    return folder / FILE


def damage(path: Path, table: str, pages: int) -> None:
    """Overwrite the content of some leaves of a table."""
    query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
    connection = sqlite3.connect(path)
    try:
        found = [int(row[0]) for row in connection.execute(query, (table,))]
    except sqlite3.Error:
        pytest.skip("this SQLite has no dbstat")
    finally:
        connection.close()
    content = bytearray(path.read_bytes())
    for page in found[3 : 3 + pages]:
        content[(page - 1) * PAGE : page * PAGE] = b"\x7f" * PAGE
    path.write_bytes(content)


def test_a_damaged_file_gives_what_can_be_read_and_says_what_not(tmp_path: Path) -> None:
    path = put_file_of_5(tmp_path)
    before = waiting_events(path)
    damage(path, "outbox", 2)
    store = Store(tmp_path, NullTelemetry(), owner=OURS)  # sets it aside
    assert store.close()
    (aside,) = set_aside_in(tmp_path)
    with pytest.raises(StorageError, match="is damaged"):
        look_at(aside)

    done = adopt(aside, path, OURS)

    after = waiting_events(path)
    assert "outbox" in done.carried.unread
    assert UNDELIVERED * 0.9 < len(after) < UNDELIVERED
    assert [one for one in before if one in set(after)] == after, "the order is kept"
    assert rows_of(path, "SELECT command_id FROM audit ORDER BY id") == [("panel-1",), ("panel-2",)]
    assert (done.file.name, set_aside_in(tmp_path)) == (
        aside.name.replace("corrupt", "adopted"), [],
    )  # fmt: skip
    assert done.file.exists()


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    aside = put_file_of_5(tmp_path / "aside")
    again = shutil.copy(aside, tmp_path / "again.db")
    path = new_state(tmp_path / "state")
    assert adopt(aside, path, OURS).carried.undelivered == UNDELIVERED + 4
    assert adopt(Path(again), path, OURS).carried.undelivered == 0
    assert len(waiting_events(path)) == UNDELIVERED
    assert rows_of(path, "SELECT value FROM counter WHERE name = 'bdseq'") == [(2,)]


def test_a_message_whose_number_is_taken_gets_one_of_its_own(tmp_path: Path) -> None:
    aside = put_file_of_5(tmp_path / "aside")
    path = put_file_of_5(tmp_path / "state")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE outbox SET payload = X'7B7D', packed = 0, made_utc_ms = 1")
    connection.commit()
    connection.close()
    adopt(aside, path, OURS)
    assert len(waiting_events(path)) == 2 * UNDELIVERED


def test_another_agents_file_is_refused_with_both_names(tmp_path: Path) -> None:
    theirs = new_state(tmp_path / "theirs", THEIRS)
    path = new_state(tmp_path / "state")
    before = theirs.read_bytes()
    with pytest.raises(StorageError) as caught:
        adopt(theirs, path, OURS)
    assert OURS in str(caught.value)
    assert THEIRS in str(caught.value)
    with pytest.raises(StorageError, match=f"another agent: {THEIRS}, not {OURS}"):
        restore(theirs, path, OURS)
    assert theirs.read_bytes() == before
    assert adopt(theirs, path, OURS, given_from=THEIRS).file.exists()
    assert owner_at(path) == OURS


def test_an_agent_does_not_begin_in_the_folder_of_another(tmp_path: Path) -> None:
    path = new_state(tmp_path, THEIRS)
    assert THEIRS in (refusal(tmp_path, OURS) or "")
    assert refusal(tmp_path, THEIRS) is None
    with pytest.raises(StateDirError) as caught:
        Store(tmp_path, NullTelemetry(), owner=OURS)
    assert f"{THEIRS}, not {OURS}" in str(caught.value)
    with pytest.raises(StorageError, match=f"the state of {THEIRS}, not of another"):
        give_over(path, OURS, "another")
    assert give_over(path, OURS, THEIRS) == THEIRS
    Store(tmp_path, NullTelemetry(), owner=OURS).close()


def test_a_file_of_before_names_were_kept_belongs_to_whoever_uses_it_first(tmp_path: Path) -> None:
    path = put_file_of_5(tmp_path)
    assert owner_at(path) == ""
    Store(tmp_path, NullTelemetry(), owner=OURS).close()
    assert owner_at(path) == OURS
    assert json.loads(str(rows_of(path, "SELECT state FROM kept WHERE name = 'identity'")[0][0]))
    assert schema_backups(path) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500])
def test_what_is_no_database_is_said_and_left(tmp_path: Path, content: bytes) -> None:
    aside = tmp_path / f"{FILE}.corrupt-5"
    aside.write_bytes(content)
    path = new_state(tmp_path)
    with pytest.raises(StorageError, match=aside.name):
        adopt(aside, path, OURS)
    assert aside.exists()
