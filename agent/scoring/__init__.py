"""The score card of the alarms: faults and ordinary production replayed through the pipeline."""
