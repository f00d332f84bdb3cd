"""A bundle with any one leaf changed does not verify, and the check that refuses it is the right one."""

import json

import pytest
from mutations import mutations, pattern
from updated import Updates

from audit.errors import AuditError, ExitCode
from audit.verifier import read_bundle, verify_bundle
from protocol.bundle import BUNDLE_SCHEMA, serialise_bundle
from protocol.encodings import canonical_json

# What refuses a change at a place: the first line that fits (a * at the end fits the rest). Wherever a change
# breaks the form itself - a field more or less, a list out of order, odd hex - "schema" refuses it first.
# In the full profile an element is compared with its envelope before its membership is computed.
TABLE = {
    "statements": {"missing"},  # removed: elements point at it
    "statements[].statement.chain": {"trust", "anchor-signature"},
    "statements[].statement.*": {"anchor-signature"},
    "statements[].signatures*": {"anchor-signature"},
    "elements": {"missing", "subject"},
    "elements[].chain": {"trust", "missing"},
    "elements[].number": {"membership", "element"},
    "elements[].anchor": {"missing", "element", "membership"},
    "elements[].block": {"membership", "element"},
    "elements[].code": {"membership"},
    "elements[].index": {"membership"},
    "elements[].envelope_hash": {"membership"},
    "elements[].offset": {"membership"},
    "elements[].witness": {"membership"},
    "elements[].payload": {"element"},
    "elements[].payload>$": {"element"},
    "elements[].payload>type": {"element"},
    "elements[].payload>result": {"element"},
    "elements[].payload>result.*": {"membership", "element"},
    "batches": {"subject", "missing"},
    "batches[].chain": {"missing"},
    "batches[].number": {"missing", "element"},
    "batches[].leaves": {"batch-path"},
    "batches[].leaves[].index": {"batch-path"},
    "batches[].leaves[].path*": {"batch-path"},
    "batches[].leaves[].leaf.key": {"batch-path"},
    "batches[].leaves[].leaf.record": {"record-id"},
    "batches[].leaves[].leaf.reading.signature": {"batch-path"},
    "batches[].leaves[].leaf.reading.*": {"record-id"},
    "manifests": {"missing"},
    "manifests[]": {"missing"},
    "manifests[][]": {"missing"},
    "holdings": {"missing"},
    "holdings[].chain": {"missing"},
    "holdings[].block": {"missing"},
    "holdings[].index": {"holding-block"},
    "holdings[].statement": {"holding-block"},
    "blocks": {"missing"},
    "blocks[].chain": {"trust"},
    "blocks[].number": {"block-signature"},
    "blocks[].previous_hash": {"block-signature"},
    "blocks[].data_hash": {"holding-block"},
    "blocks[].envelopes*": {"holding-block"},
    "blocks[].signatures": {"block-signature", "configuration"},
    "configurations": {"configuration"},
    "chain": {"trust"},
    "kind": set(),
    "profile": set(),
    "schema": set(),
    "subject": {"subject"},
}
FULL = {
    "elements[].chain": {"trust", "missing"},
    "elements[].block": {"missing", "envelope", "element"},
    "elements[].index": {"envelope"},
    "elements[].envelope_hash": {"envelope"},
    "elements[].payload>result.*": {"envelope", "element"},
}


CONFIGURED = TABLE | {
    "configurations": {"configuration"},  # one left out
    "configurations[].chain": {"trust", "configuration"},
    "configurations[].number": {"block-signature", "configuration"},
    "configurations[].previous_hash": {"block-signature"},
    "configurations[].data_hash": {"holding-block"},
    "configurations[].envelopes*": {"holding-block"},
    "configurations[].signatures": {"block-signature"},
}


def allowed(path: str, table: dict[str, set[str]]) -> set[str]:
    """The checks that may refuse a change at a path."""
    if path in table:
        return table[path]
    for entry, checks in table.items():
        if entry.endswith("*") and path.startswith(entry[:-1]):
            return checks
    return set()  # the node of an object: only its form


def refused_everywhere(bundle, trust, table, only=""):
    """Change every leaf in turn; the number of changes and what went against the table."""
    tree = json.loads(serialise_bundle(bundle))
    count, faults, met = 0, [], set()
    for path, kind, changed in mutations(tree):
        if not path.startswith(only):
            continue
        count += 1
        place = pattern(path)
        try:
            verify_bundle(read_bundle(canonical_json(changed)), trust)
        except AuditError as error:
            met.add(place)
            if error.exit_code is ExitCode.USAGE:
                # No verdict, but only where nothing says any more that it is a bundle.
                fitting = not (isinstance(changed, dict) and changed.get("schema") == BUNDLE_SCHEMA)
            else:
                fitting = error.check.value in allowed(place, table) | {"schema"}
            if not fitting or error.exit_code in (ExitCode.VERIFIED, ExitCode.INCONCLUSIVE):
                faults.append((path, kind, str(error)))
        else:
            faults.append((path, kind, "ACCEPTED"))
    return count, faults, met


@pytest.mark.parametrize("profile", ["compact", "full"])
def test_every_leaf_of_a_record_bundle(world, trust, profile):
    record = world.records["edge-a"][2]  # in a batch of three: with a path
    bundle = world.prover.record_bundle("edge-a", record, profile=profile)
    verify_bundle(bundle, trust)
    count, faults, met = refused_everywhere(bundle, trust, TABLE | (FULL if profile == "full" else {}))
    assert faults == []
    assert count > 400
    # Nothing in the table is idle: each line was met by some change, but for what only models have.
    idle = {entry for entry in TABLE if not any(_fits(entry, place) for place in met)}
    assert idle <= {"manifests[]", "manifests[][]", "manifests", "configurations"}


def test_every_leaf_of_a_configuration_block(world, trust, tmp_path):
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][0], "edge-b")
    updates = Updates(world.chains["edge-b"], tmp_path)
    updates.update(bundle.blocks[0].number - 4)
    updates.rotate_orderers(bundle.blocks[0].number - 2)
    made = updates.resting(bundle)
    verify_bundle(made, trust)
    count, faults, _ = refused_everywhere(made, trust, CONFIGURED, only="configurations")
    assert faults == []
    assert count > 30


@pytest.mark.slow
@pytest.mark.parametrize(
    "world", ["embedded"], indirect=True
)  # the longest one: a bundle has the same parts anywhere
def test_every_leaf_of_a_model_bundle(world, trust):
    bundle = world.prover.model_bundle("digits", 1)
    verify_bundle(bundle, trust)
    count, faults, _ = refused_everywhere(bundle, trust, MODEL)
    assert faults == []
    assert count > 1000


def _fits(entry: str, place: str) -> bool:
    return place.startswith(entry[:-1]) if entry.endswith("*") else place == entry


# A model's subject is not a hash: another version of the run is a subject whose parts are not there.
MODEL = TABLE | {
    "subject": {"missing", "unused", "run"},
    "kind": {"missing"},
    "chain": {"trust", "subject"},
    "holdings": {"missing", "holding-block"},  # of two holders, the one that is left holds its own evidence
}
