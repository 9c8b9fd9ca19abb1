"""Whether what the configuration asks of the model is there, before anything starts."""

from __future__ import annotations

from agent.config import Config
from agent.models.errors import ModelError
from agent.models.loaded import LoadedModel
from agent.nearest import unknown


def fitted(config: Config, model: LoadedModel) -> Config:
    """Return the configuration with the classes to explain that this model has.

    A class that the file names and the model lacks is an error; where it names none, every
    foreground class of the model is explained. ``ModelError`` names the key. Without a worker
    nothing is explained: then layer and baseline do not matter.
    """
    chosen = "classes" in config.ablation.model_fields_set
    wanted = config.ablation.classes if chosen else model.classes[1:]  # background comes first
    missing = [name for name in wanted if name not in model.classes]
    if missing:
        told = "; ".join(
            unknown(f"class of {model.label}", name, model.classes) for name in missing
        )
        raise ModelError(f"ablation.classes: {told}")
    fit = config.model_copy(
        update={"ablation": config.ablation.model_copy(update={"classes": tuple(wanted)})}
    )
    if config.ablation.workers.count == 0:
        return fit
    if model.layer is None:
        raise ModelError(
            f"model.layer: {model.label} comes without one; name the layer to explain, or set "
            "ablation.workers.count to 0"
        )
    if config.ablation.baseline == "mean" and model.layer not in (model.card.channel_means or {}):
        raise ModelError(
            "ablation.baseline: mean needs the channels' means over a reference set, which the "
            f"card of {model.label} does not hold for {model.layer}; use zero"
        )
    return fit
