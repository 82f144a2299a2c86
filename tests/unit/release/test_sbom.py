"""The bill of materials: it is of the lock, and of nothing else."""

from release import licences, sbom
from release.locks import RUNTIME, pins


def test_the_bill_in_the_tree_is_the_one_made_of_the_lock() -> None:
    assert sbom.BILL.read_text() == sbom.text(), "the runtime lock or the version has changed: run `make sbom`"


def test_the_bill_names_every_pin_with_its_hashes_and_no_other() -> None:
    listed = {
        (part["name"], part["version"]): tuple(entry["content"] for entry in part["externalReferences"][0]["hashes"])
        for part in sbom.read()["components"]
    }
    assert listed == {(pin.name, pin.version): pin.sha256 for pin in pins(RUNTIME)}


def test_every_component_is_needed_by_something_and_only_the_service_by_nothing() -> None:
    graph = {node["ref"]: node["dependsOn"] for node in sbom.read()["dependencies"]}
    itself = sbom.read()["metadata"]["component"]["bom-ref"]
    needed = {ref for needs in graph.values() for ref in needs}
    assert graph.keys() - needed == {itself}
    assert graph.keys() - {itself} == {part["bom-ref"] for part in sbom.read()["components"]}


def test_what_is_shipped_has_a_licence_that_allows_it() -> None:
    assert licences.complaints(sbom.read(), licences.rules()) == []
