"""The bill of materials of a bundle, as CycloneDX 1.6 in JSON, from the wheels that are in it.

Run in an environment with locks/tools.txt: ``python sbom.py BUNDLE VERSION COMMIT``.
"""

from __future__ import annotations

import email
import hashlib
import sys
import zipfile
from email.message import Message
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def metadata_of(wheel: Path) -> Message:
    """``METADATA`` of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (
            one for one in archive.namelist()
            if one.endswith(".dist-info/METADATA") and one.count("/") == 1
        )  # fmt: skip
        return email.message_from_bytes(archive.read(name))


def component_of(wheel: Path, factory: LicenseFactory) -> Component:
    """One distribution: name, version, licence, and the sha256 of the very file in the bundle."""
    said = metadata_of(wheel)
    name, version = str(said["Name"]), str(said["Version"])
    licence = said.get("License-Expression") or said.get("License")
    classified = [
        str(one).rsplit(" :: ", 1)[-1]
        for one in said.get_all("Classifier", [])
        if str(one).startswith("License :: ")
    ]
    # Some put the whole text of their licence there; its first line names it.
    words = str(licence).strip().splitlines()[0][:120] if licence else ", ".join(classified)
    with wheel.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    lower = name.lower().replace("_", "-")
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=lower,
        name=name,
        version=version,
        description=str(said.get("Summary", ""))[:200] or None,
        licenses=[factory.make_from_string(words)] if words else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        purl=PackageURL("pypi", name=lower, version=version, qualifiers={"file_name": wheel.name}),
    )


def bom_of(bundle: Path, version: str, commit: str) -> Bom:
    """Of everything under ``wheels`` and ``tools``; the agent is what the bill is about."""
    factory = LicenseFactory()
    wheels = sorted([*bundle.glob("wheels/*.whl"), *bundle.glob("tools/*.whl")])
    components = [component_of(one, factory) for one in wheels]
    agent = next(one for one in components if one.name == "pitwatch")
    agent.type = ComponentType.APPLICATION
    agent.version = f"{version}+{commit[:8]}"
    bom = Bom(components=[one for one in components if one is not agent])
    bom.metadata.component = agent
    bom.dependencies = [
        Dependency(agent.bom_ref, [Dependency(one.bom_ref) for one in bom.components]),
        *(Dependency(one.bom_ref) for one in bom.components),
    ]
    return bom


def main(arguments: list[str]) -> int:
    bundle, version, commit = Path(arguments[0]), arguments[1], arguments[2]
    text = JsonV1Dot6(bom_of(bundle, version, commit)).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"sbom: not valid CycloneDX: {wrong}", file=sys.stderr)
        return 1
    (bundle / "sbom.cdx.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
