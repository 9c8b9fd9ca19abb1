"""Recorded pictures of a line on disk: the format of a record, and the folder that holds them."""

from agent.dataset.reading import read_record, records
from agent.dataset.record import Facts, Reason, Record, RecordError
from agent.dataset.writing import (
    record_id,
    remove_record,
    remove_unfinished,
    update_record,
    write_record,
)

__all__ = [
    "Facts",
    "Reason",
    "Record",
    "RecordError",
    "read_record",
    "record_id",
    "records",
    "remove_record",
    "remove_unfinished",
    "update_record",
    "write_record",
]
