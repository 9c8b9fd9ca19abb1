"""A valid configuration as people and programs see it from outside: without its secrets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from agent.config import words
from agent.config.models import Config
from agent.config.values import each
from agent.config.yaml import KeyPath
from agent.redaction import mask_url


def effective_yaml(config: Config) -> str:
    """Every effective value as YAML, secrets masked."""
    values = _values(config, hidden="***")
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


def effective_hash(config: Config) -> str:
    """SHA-256 of the effective values without secrets: the same agent, the same hash."""
    canonical = json.dumps(_values(config, hidden=None), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _values(config: Config, hidden: str | None) -> Any:
    """The values as JSON types; a secret becomes ``hidden``, user and password in a URL ``***``."""

    def masked(path: KeyPath, value: Any) -> Any:
        if value is not None and words.is_secret(path):
            return hidden
        return mask_url(value) if isinstance(value, str) else value

    return each(config.model_dump(mode="json"), masked)
