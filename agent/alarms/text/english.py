"""What operators read, in English: one table."""

from __future__ import annotations

from agent.alarms.catalogue import Cause
from agent.alarms.signals.signals import SIGNALS
from agent.alarms.text.language import AlarmText, Fact, Language

ENGLISH = Language(
    alarms={
        Cause.CAMERA_LOST: AlarmText(
            "Camera lost",
            "Camera {camera} delivers no pictures ({detail}): check its power, cable and "
            "network; its fruit are not being read.",
        ),
        Cause.CAMERA_FROZEN: AlarmText(
            "Camera frozen",
            "Camera {camera} sends the same picture again and again: restart the camera; its "
            "readings are worthless until then.",
        ),
        Cause.NO_READ_RATE: AlarmText(
            "Many fruit without a reading",
            "On {camera} {value} of the last {window} fruit got no angle (limit {limit}): "
            "check lamp and lens for dirt, and how the fruit lie in the cups.",
        ),
        Cause.BACKGROUND_RELIANCE: AlarmText(
            "Model looks at the background",
            "On {camera} {value} of what decides the suture lies in the background (limit "
            "{limit}, mean of {window} explanations): check cut fruit by hand, look for marks "
            "or light in the cups, and call the vision engineer.",
        ),
        Cause.FOREGROUND_INSENSITIVE: AlarmText(
            "Model does not look at the suture",
            "On {camera} hiding the suture changes the model's answer by only {value} (limit "
            "{limit}, mean of {window} explanations): check cut fruit by hand and call the "
            "vision engineer.",
        ),
        Cause.EXPLANATION_DRIFT: AlarmText(
            "Model looks at the fruit differently",
            "On {camera} the model uses the picture otherwise than at commissioning ({detail}, "
            "over {window} explanations): compare lot and variety with what is announced, and "
            "call the vision engineer.",
        ),
        Cause.SEGMENTATION_DEGRADED: AlarmText(
            "Model sees the suture worse",
            "On {camera} the model sees the fruit worse than at commissioning ({detail}, over "
            "{window} fruit): check variety, lamp and lens, and cut fruit by hand until it is "
            "clear why.",
        ),
        Cause.IMAGE_QUALITY: AlarmText(
            "Pictures are not as they should be",
            "On {camera} the pictures changed ({detail}, over {window} fruit): check lamp, "
            "lens, focus and whether the camera was moved, and check cut fruit by hand.",
        ),
        Cause.AGENT_NO_DATA: AlarmText(
            "Nothing to judge by",
            "On {camera} there is {detail}: nobody watches the model there; check cut fruit by "
            "hand until it is back, and call plant IT if the machine is running.",
        ),
        Cause.WORKERS_DEGRADED: AlarmText(
            "Explanations degraded",
            "On {camera} {detail}: readings go on, but fewer or none are explained; call plant IT.",
        ),
        Cause.LATENCY_BUDGET: AlarmText(
            "Readings are late",
            "On {camera} 5 % of the last {window} readings took more than {value} (limit "
            "{limit}): fruit may be cut before their angle is known; call plant IT about the "
            "load of this computer.",
        ),
        Cause.BROKER_SESSION_CONFLICT: AlarmText(
            "Two clients with one name",
            "Another MQTT client took over the session of {camera} ({detail}): give every "
            "agent a client id of its own; until then values of both may be missing.",
        ),
        Cause.SPOOL_LOSS: AlarmText(
            "Messages not safe",
            "On {camera} {detail}: alarms of an outage or before a restart may be missing in "
            "SCADA; call plant IT to look at the disk of the state folder.",
        ),
        Cause.MODEL_MISMATCH: AlarmText(
            "Another model is explained than the one that reads",
            "On {camera} {detail}: nobody watches what the live model looks at; call the vision "
            "engineer.",
        ),
    },
    facts={
        Fact.CAMERA_STATE: "{state}: {cause}",
        Fact.SIGNAL: "{signal} {value}, usually {low} to {high}",
        Fact.UNREADABLE: "{share} of them cannot be read",
        Fact.DARK: "{share} of them: grey level {level}, with light {usual}",
        Fact.ONLY_DARK: "nothing but dark ones for {seconds} s",
        Fact.UNREAD: "{share} of the fruit get no angle although their pictures are as usual",
        Fact.OTHER_FRUIT: "{signal} {value}, usually {low} to {high}",
        Fact.READ_ELSEWHERE: "{share} of the answer stays when the suture is hidden",
        Fact.NO_FRUIT: "no fruit for {seconds} s",
        Fact.NO_EXPLANATION: "no explanation of the suture for {seconds} s",
        Fact.NO_EXPLANATION_BECAUSE: ("no explanation of the suture for {seconds} s ({reason})"),
        Fact.WORKERS_SHORT: "{ready} of {workers} workers can explain",
        Fact.WORKERS_SHORT_BECAUSE: "{ready} of {workers} workers can explain ({reason})",
        Fact.EXPLAINING_OFF: (
            "explanations are switched off after too many failed workers ({reason})"
        ),
        Fact.SESSION_TAKEN: "the broker closed ours for it",
        Fact.DISK_UNREACHED: "nothing reaches the disk ({reason})",
        Fact.DISK_HANGS: "the disk hangs",
        Fact.MODELS_DIFFER: "{live} reads the fruit and {explained} is explained",
    },
    findings={
        Fact.DARK: (
            "On {camera} the pictures have turned dark ({detail}, over {window} cups), too dark to "
            "read fruit: check the lamp and its supply, then the exposure, and what may stand "
            "before the lens."
        ),
        Fact.ONLY_DARK: (
            "On {camera} no picture shows any light ({detail}): check the lamp and its supply, "
            "then the exposure, and what may stand before the lens."
        ),
        Fact.UNREAD: (
            "On {camera} {detail} (the last {window} fruit): check how the fruit lie in the cups "
            "and that the model is the commissioned one, cut fruit by hand, and call the vision "
            "engineer."
        ),
        Fact.OTHER_FRUIT: (
            "On {camera} the model sees the fruit worse, and they have another colour ({detail}, "
            "over {window} fruit) while the empty cups look as ever: compare lot and variety with "
            "what is announced, and cut fruit by hand until it is clear."
        ),
        Fact.READ_ELSEWHERE: (
            "On {camera} {detail} (mean of {window} explanations), and yet angles differ from "
            "fruit to fruit: something else in the picture decides them; check cut fruit by hand, "
            "look for marks or light in the cups, and call the vision engineer."
        ),
    },
    signals={signal.name: signal.title for signal in SIGNALS},
    terms={},
    normal="Not the case on {camera}: {title}.",
    cleared="Cleared on {camera}: {title}.",
    gone=(
        "No longer watched on {camera}: {title}. The camera, lane or reference was taken out of "
        "the configuration."
    ),
    suppressed="{message} Suppressed: {reason}.",
    this_agent="this agent",
    nothing_known="no further word",
    unknown_share="an unknown share",
    unknown_time="an unknown time",
    decimal_point=".",
)
