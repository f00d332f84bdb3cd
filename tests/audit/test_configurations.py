"""Blocks are believed under the configuration in force; each configuration under the one before it."""

from dataclasses import replace

import pytest
from audit_refusals import refused
from updated import Updates, configuration_block, signed_by

from audit.errors import AuditError, Check
from audit.running import check_and_remember
from audit.verifier import read_bundle, verify_bundle
from protocol.bundle import BlockEvidence, serialise_bundle
from protocol.constraints import to_base64

HOLDER = "edge-b"


@pytest.fixture
def bundle(world):
    """A record of edge-a; edge-b holds main's anchor."""
    return world.prover.record_bundle("edge-a", world.records["edge-a"][2], HOLDER)


@pytest.fixture
def height(bundle):
    """Number of the holder's block."""
    (shown,) = bundle.blocks
    assert shown.number > 9
    return shown.number


@pytest.fixture
def updates(world, tmp_path):
    return Updates(world.chains[HOLDER], tmp_path)


def knowing(trust, chain, *blocks):
    """The trust root with more of a chain's configuration blocks."""
    more = tuple(to_base64(block.SerializeToString(deterministic=True)) for block in blocks)
    return replace(
        trust,
        chains=tuple(
            replace(one, config_blocks=(*one.config_blocks, *more)) if one.chain == chain else one
            for one in trust.chains
        ),
    )


def test_updates_are_followed_to_the_block(bundle, trust, updates, height):
    updates.update(height - 9)
    updates.rotate_orderers(height - 7)
    updates.update(height - 2)
    made = updates.resting(bundle)
    assert [one.number for one in made.configurations] == [height - 9, height - 7, height - 2]
    assert verify_bundle(read_bundle(serialise_bundle(made)), trust).configurations == made.configurations


def test_a_block_before_the_update_stays_verifiable(bundle, trust, updates, height):
    """Also by an auditor who knows of the update, whose keys the block was not signed with."""
    update = updates.rotate_orderers(height + 1)
    verify_bundle(bundle, trust)
    verify_bundle(bundle, knowing(trust, HOLDER, update))


def test_a_retired_orderer_signs_nothing_more(bundle, trust, updates, height, world):
    update = updates.rotate_orderers(height - 3)
    retired = world.chains[HOLDER].orderer
    refused(updates.resting(bundle, by=retired), trust, Check.BLOCK_SIGNATURE, 4)
    # Nor by naming the configuration that it was valid under, once the newer one is shown or known:
    stale = updates.resting(bundle, names=0, by=retired)
    assert "is in force" in refused(stale, trust, Check.CONFIGURATION).why
    hidden = replace(stale, configurations=())
    refused(hidden, knowing(trust, HOLDER, update), Check.CONFIGURATION)


def test_a_memory_keeps_retired_keys_out_for_good(bundle, trust, updates, height, world, tmp_path):
    updates.rotate_orderers(height - 3)
    hidden = replace(updates.resting(bundle, names=0, by=world.chains[HOLDER].orderer), configurations=())
    state = tmp_path / "state.json"
    # By itself nothing in it tells of the update. Whoever has seen the update once knows better.
    check_and_remember(hidden, trust, tmp_path / "another.json", None)
    check_and_remember(updates.resting(bundle), trust, state, None)
    with pytest.raises(AuditError) as refusal:
        check_and_remember(hidden, trust, state, None)
    assert refusal.value.check is Check.CONFIGURATION
    # And needs not be shown it again.
    check_and_remember(replace(updates.resting(bundle), configurations=()), trust, state, None)


def test_a_configuration_left_out_is_missed(bundle, trust, updates, height):
    updates.update(height - 5)
    updates.rotate_orderers(height - 3)
    made = updates.resting(bundle)
    first, second = made.configurations
    refused(replace(made, configurations=()), trust, Check.CONFIGURATION, 3)
    refused(replace(made, configurations=(first,)), trust, Check.CONFIGURATION, 3)
    refused(replace(made, configurations=(second,)), trust, Check.CONFIGURATION)


def test_a_configuration_that_no_block_rests_on_is_refused(bundle, trust, updates, height):
    updates.update(height + 1)
    made = updates.resting(bundle, names=0)
    assert refused(made, trust, Check.UNUSED).where == "configurations"
    below = replace(bundle, configurations=(replace(made.configurations[0], chain="edge-a"),))
    refused(below, trust, Check.CONFIGURATION)  # another chain's


def test_of_two_competing_updates_one_is_taken(bundle, trust, updates, height, world):
    orderer = world.chains[HOLDER].orderer
    genesis = world.chains[HOLDER].genesis
    first, second = (
        configuration_block(genesis, number, lambda config: None, orderer)
        for number in (height - 4, height - 2)
    )
    updates.blocks += [first, second]
    updates.orderers += [orderer, orderer]
    refused(updates.resting(bundle), trust, Check.CONFIGURATION)
    # An auditor who knows the one does not believe the other, with or without it.
    updates.blocks[1:] = [second]
    verify_bundle(updates.resting(bundle), trust)
    refused(updates.resting(bundle), knowing(trust, HOLDER, first), Check.CONFIGURATION)
    other = configuration_block(
        genesis, height - 4, lambda config: config.ClearField("channel_group"), orderer
    )
    updates.blocks[1:] = [other]
    assert (
        "another configuration"
        in refused(updates.resting(bundle), knowing(trust, HOLDER, first), Check.CONFIGURATION).why
    )


def test_an_update_is_signed_under_the_configuration_before(bundle, trust, updates, height):
    """Not by the orderers that it brings itself."""
    update = updates.rotate_orderers(height - 3)
    forged = signed_by(update, height - 3, updates.orderers[-1])
    updates.blocks[-1] = forged
    refused(updates.resting(bundle), trust, Check.BLOCK_SIGNATURE, 4)


@pytest.mark.parametrize("names", [0, 3])
def test_an_update_names_itself(bundle, trust, updates, height, names):
    updates.update(height - 3, names=names)
    refused(updates.resting(bundle), trust, Check.CONFIGURATION)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: setattr(config, "sequence", 2),
        lambda config: setattr(config, "sequence", 0),
        lambda config: config.channel_group.groups.pop("Orderer"),
    ],
)
def test_an_update_follows_in_sequence_and_holds(bundle, trust, updates, height, change):
    updates.update(height - 3, change)
    refused(updates.resting(bundle), trust, Check.CONFIGURATION)


def test_a_configuration_block_is_no_evidence_of_anything_else(bundle, trust, updates, height):
    updates.update(height - 3)
    made = updates.resting(bundle)
    (own,) = made.configurations
    both = replace(made, blocks=tuple(sorted((*made.blocks, own), key=lambda one: one.key)))
    refused(both, trust, Check.CONFIGURATION, 3)


def test_a_block_names_none_later_than_itself(bundle, trust, updates, height):
    updates.update(height - 3)
    refused(updates.resting(bundle, names=height), trust, Check.CONFIGURATION, 3)
    refused(updates.resting(bundle, names=height + 2), trust, Check.CONFIGURATION, 3)


def test_neighbours_follow_one_another(bundle, trust, updates, height):
    updates.update(height - 1)
    assert "does not follow" in refused(updates.resting(bundle), trust, Check.HOLDING_BLOCK).why


def test_endorsers_count_under_the_configuration_at_their_block(bundle, trust, updates, height):
    def stricter(config):
        application = config.channel_group.groups["Application"]
        del application.groups["edge-b-3"]
        policy = application.policies["Endorsement"]
        policy.policy.value = policy.policy.value.replace(b"edge-b-1", b"edge-b-9")

    updates.update(height - 3, stricter)
    refused(updates.resting(bundle), trust, Check.ENDORSEMENT)


def test_a_trust_root_is_followed_as_evidence_is(bundle, trust, updates, height):
    updates.update(height - 5)
    updates.rotate_orderers(height - 3)
    made = updates.resting(bundle)
    later = updates.blocks[1:]
    verify_bundle(made, knowing(trust, HOLDER, later[0]))
    verify_bundle(made, knowing(trust, HOLDER, *later))
    verify_bundle(replace(made, configurations=()), knowing(trust, HOLDER, *later))
    verify_bundle(replace(made, configurations=made.configurations[1:]), knowing(trust, HOLDER, later[0]))
    for wrong in (later[1:], later[::-1], [later[0], later[0]], [BlockEvidence.block(made.blocks[0])]):
        refused(made, knowing(trust, HOLDER, *wrong), Check.TRUST)
