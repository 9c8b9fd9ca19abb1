"""What commands on this machine ask the running agent for: how it is, and a copy of its state."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pydantic_core import to_json

from agent.observability.view import AgentView
from agent.pipeline.build import Stages
from agent.records import StorageStatus
from agent.storage.file.backup import CopyError
from agent.storage.rows import Kind
from agent.storage.store import Store
from agent.storage.upkeep.disk_use import disk_use
from agent.supervision.control.protocol import RefusedError
from agent.supervision.control.server import Handler


def answers(view: Callable[[], AgentView], stages: Stages) -> dict[str, Handler]:
    """The handlers, by command."""
    log_file = stages.config.logging.file

    def status(_arguments: Mapping[str, object], _peer: object) -> Mapping[str, object]:
        return {
            "pid": os.getpid(),
            "owner": stages.config.owner,
            "view": json.loads(to_json(view(), inf_nan_mode="null")),
            "storage": storage_answer(stages.store),
            "disk": disk_use(stages.config.state_dir, log_file),
        }

    return {"status": status, "backup": partial(back_up, stages.store)}


def back_up(store: Store, arguments: Mapping[str, object], _peer: object) -> Mapping[str, object]:
    """Copy the database to ``file``, an absolute path that nothing lies at."""
    file = arguments.get("file")
    if not isinstance(file, str) or not file.startswith("/"):
        raise RefusedError("backup: file is missing, or no absolute path")
    try:
        size = store.database.back_up(Path(file))
    except OSError as error:
        raise RefusedError(f"{file}: the agent cannot write it: {error.strerror}") from error
    except (CopyError, sqlite3.Error) as error:
        raise RefusedError(str(error)) from error
    return {"file": file, "bytes": size}


def storage_answer(store: Store) -> dict[str, object]:
    """How the database is, and what takes how much of it."""
    status: StorageStatus = store.status()
    query = (
        "SELECT kind, count(*), sum(size_bytes), sum(acked_mono IS NULL) FROM outbox GROUP BY kind"
    )
    kinds = {kind.value: kind.name.lower() for kind in Kind}
    messages = {
        kinds.get(kind, str(kind)): {"rows": rows, "bytes": size, "waiting": waiting}
        for kind, rows, size, waiting in store.database.rows(query)
    }
    ((evidence, minutes, occurrences, audit),) = store.database.rows(
        "SELECT (SELECT coalesce(sum(size_bytes), 0) FROM evidence), "
        "(SELECT count(*) FROM minute), (SELECT count(*) FROM occurrence), "
        "(SELECT count(*) FROM audit)"
    )
    ((schema,),) = store.database.rows("PRAGMA user_version")
    return {
        "schema": schema,
        "durable": status.durable and not status.degraded,
        "degraded": status.degraded,
        "losses": status.losses,
        "loss": status.loss,
        "messages": messages,
        "evidence_bytes": evidence,
        "history_rows": minutes + occurrences,
        "audit_rows": audit,
    }
