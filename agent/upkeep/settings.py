"""What these commands take of a configuration: also of one with errors elsewhere, which is when
they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.config import Config
from agent.config.load import ConfigErrors, Loaded, load_config


@dataclass(frozen=True, slots=True)
class Settings:
    """``loaded`` None: the file has errors, named in ``wrong``; then the rest is what was right."""

    loaded: Loaded | None
    config: Config | None
    wrong: str = ""

    @property
    def state_dir(self) -> Path | None:
        found: Path | None = getattr(self.config, "state_dir", None)
        return found

    @property
    def owner(self) -> str:
        """The agent of this configuration; empty where that cannot be told."""
        try:
            return self.config.owner if self.config is not None else ""
        except AttributeError:  # a key with an error of its own
            return ""

    @property
    def log_file(self) -> Path | None:
        found: Path | None = getattr(getattr(self.config, "logging", None), "file", None)
        return found


def read_settings(path: Path | None) -> Settings:
    """Read a configuration without asking whether what it names is there. Raises nothing."""
    try:
        loaded = load_config(path)
    except ConfigErrors as errors:
        return Settings(None, errors.config, str(errors))
    return Settings(loaded, loaded.config)
