"""The rules of a lineage, each against what colluding chains could have recorded."""

from dataclasses import replace

import pytest
from editing import edited, kind_of, result_of
from world_training import RECIPE

from audit.errors import AuditError, Check
from audit.evidence import Evidence
from audit.lineage import check_lineage
from audit.verifier import verify_bundle
from chaincode.api import ModelVersion
from protocol.commitments import aggregate_commitment, recipe_digest, step_commitment
from protocol.encodings import from_json

STEP, MODEL, VOTE, RUN = "steps:submit", "models:commit", "attestations:attest", "runs:create"
OTHER = "ab" * 32


@pytest.fixture(scope="module")
def bundle(world):
    return world.prover.model_bundle("digits", 3)


@pytest.fixture(scope="module")
def round_bundle(world):
    return world.prover.round_bundle("digits", 2)


def check(bundle, *, whole=True):
    return check_lineage(Evidence(bundle), "main", bundle.subject, whole=whole)


def refused(bundle, check_name, *, whole=True):
    with pytest.raises(AuditError) as refusal:
        check(bundle, whole=whole)
    assert refusal.value.check is check_name, refusal.value


def of(**fields):
    """Elements whose result has these fields."""
    return lambda element, result: all(result.get(name) == value for name, value in fields.items())


def on(chain, **fields):
    """Elements of a chain whose result has these fields."""
    return lambda element, result: element.chain == chain and of(**fields)(element, result)


def recommitted_step(**fields):
    """An edit of a step with its commitment made anew, as a trainer would."""

    def edit(step):
        step.update(fields)
        raw = {name: bytes.fromhex(step[name]) for name in ("result", "parent", "aggregate", "data")}
        step["commitment"] = step_commitment(
            **raw, recipe=recipe_digest(RECIPE), number=step["number"], run=step["run"]
        ).hex()

    return edit


def recommitted_model(**fields):
    def edit(model):
        model.update(fields)
        version = from_json(ModelVersion, model)
        model["commitment"] = aggregate_commitment(
            version.result,
            version.parent,
            version.inputs,
            recipe_digest(RECIPE),
            version.version,
            version.run,
        ).hex()

    return edit


def test_what_a_lineage_shows(bundle, round_bundle, training, world):
    facts = check(bundle)
    assert (facts.version, facts.rounds, facts.steps) == (3, 3, 6)
    assert facts.result == training.results["main"].hex()
    assert facts.records == 8
    facts = check(round_bundle, whole=False)
    assert (facts.version, facts.rounds, facts.steps) == (2, 1, 2)


def test_second_attempts_are_the_ones_that_count(bundle):
    steps = [result_of(one) for one in bundle.elements if kind_of(one) == STEP]
    assert {(one["number"], one["attempt"]) for one in steps} == {(1, 1), (2, 2), (3, 1)}


def test_a_step_must_start_from_the_accepted_result_before_it(bundle):
    refused(edited(bundle, STEP, recommitted_step(parent=OTHER), of(number=2)), Check.STEP)
    refused(edited(bundle, STEP, recommitted_step(parent=OTHER), of(number=1)), Check.STEP)


def test_a_step_must_start_from_the_accepted_aggregate(bundle):
    refused(edited(bundle, STEP, recommitted_step(aggregate=OTHER), of(number=3)), Check.STEP)
    refused(edited(bundle, STEP, recommitted_step(aggregate_version=0), of(number=3)), Check.STEP)


def test_a_steps_commitment_is_recomputed(bundle):
    refused(edited(bundle, STEP, lambda step: step.update(commitment=OTHER)), Check.STEP)
    refused(edited(bundle, STEP, lambda step: step.update(result=OTHER)), Check.STEP)


def test_what_was_accepted_is_what_was_submitted(bundle):
    refused(edited(bundle, STEP, recommitted_step(result=OTHER), of(number=3)), Check.OUTCOME)
    refused(edited(bundle, STEP, lambda step: step.update(examples=1), of(number=3)), Check.OUTCOME)
    vote = on("edge-a", subject="step", number=3)
    refused(edited(bundle, VOTE, lambda one: one.update(result=OTHER), vote), Check.AGGREGATE)


def test_a_vote_that_accepted_nothing_does_not_do(bundle):
    pending = edited(bundle, VOTE, lambda one: one.update(state="pending"), on("edge-a", number=2))
    refused(pending, Check.MISSING)


@pytest.mark.parametrize(
    "agreeing",
    [["edge-a-1"], [], ["edge-a-1", "edge-a-1"], ["edge-a-2", "edge-a-1"], ["edge-a-1", "edge-b-1"]],
)
def test_the_threshold_takes_distinct_organisations_of_the_roster(bundle, agreeing):
    changed = edited(bundle, VOTE, lambda one: one.update(agreeing=agreeing), on("edge-a", number=1))
    refused(changed, Check.ROSTER)


def test_nobody_agrees_and_disagrees(bundle):
    changed = edited(bundle, VOTE, lambda one: one.update(disagreeing=["edge-a-1"]), on("edge-a", number=1))
    refused(changed, Check.ROSTER)


def test_the_author_is_of_the_roster_and_among_those_that_agree(bundle):
    for trainer in ("edge-a-3", "edge-b-1", "nobody"):
        changed = edited(
            bundle, STEP, lambda one, name=trainer: one.update(trainer=name), on("edge-a", number=1)
        )
        refused(changed, Check.ROSTER)
    refused(edited(bundle, MODEL, lambda one: one.update(author="edge-a-1")), Check.ROSTER)


def test_nothing_is_accepted_before_it_is_there(bundle):
    late = edited(bundle, STEP, lambda one: None, on("edge-a", number=1), number=100_000)
    refused(late, Check.OUTCOME)


def test_a_roster_that_one_organisation_can_meet_is_no_quorum(bundle):
    def lonely(run):
        run["rosters"][0]["threshold"] = 1

    def doubled(run):
        run["rosters"][0]["organisations"] = ["edge-a-1", "edge-a-1", "edge-a-2"]

    refused(edited(bundle, RUN, lonely), Check.ROSTER)
    refused(edited(bundle, RUN, doubled), Check.ROSTER)


def test_the_run_names_each_chain_once_and_main_among_them(bundle):
    refused(edited(bundle, RUN, lambda run: run["rosters"].reverse()), Check.RUN)
    refused(edited(bundle, RUN, lambda run: run["rosters"].pop()), Check.RUN)
    refused(edited(bundle, RUN, lambda run: run.update(rounds=2)), Check.RUN)


def test_another_recipe_changes_every_commitment(bundle):
    changed = edited(bundle, RUN, lambda run: run["recipe"].update(seed=8))
    refused(changed, Check.AGGREGATE)


def test_an_aggregate_is_of_every_edge_once(bundle):
    def without_one(model):
        model["inputs"].pop()
        recommitted_model()(model)

    def one_twice(model):
        model["inputs"][1] = model["inputs"][0]
        recommitted_model()(model)

    for edit in (without_one, one_twice):
        changed = edited(bundle, MODEL, edit, of(version=1))
        commitment = next(result_of(one)["commitment"] for one in changed.elements if kind_of(one) == MODEL)
        vote = on("main", subject="aggregate", number=1)
        changed = edited(changed, VOTE, lambda one, made=commitment: one.update(commitment=made), vote)
        refused(changed, Check.AGGREGATE)


def test_an_aggregate_follows_from_the_version_before(bundle):
    refused(edited(bundle, MODEL, recommitted_model(parent=OTHER), of(version=2)), Check.AGGREGATE)
    refused(edited(bundle, MODEL, lambda one: one.update(result=OTHER), of(version=2)), Check.AGGREGATE)
    refused(edited(bundle, MODEL, recommitted_model(result=OTHER), of(version=2)), Check.OUTCOME)


def test_an_input_is_the_very_step_that_its_edge_accepted(bundle):
    for field, value in (
        ("examples", 10**6),
        ("result", OTHER),
        ("attempt", 7),
        ("number", 2),
        ("commitment", OTHER),
    ):

        def edit(model, field=field, value=value):
            model["inputs"][0][field] = value
            recommitted_model()(model)

        changed = edited(bundle, MODEL, edit, of(version=1))
        commitment = next(result_of(one)["commitment"] for one in changed.elements if kind_of(one) == MODEL)
        vote = on("main", subject="aggregate", number=1)
        changed = edited(changed, VOTE, lambda one, made=commitment: one.update(commitment=made), vote)
        refused(changed, Check.AGGREGATE)


def test_a_data_set_is_there_and_no_smaller_than_its_examples(bundle):
    refused(replace(bundle, manifests=bundle.manifests[1:]), Check.MISSING)

    def boast(outcome):
        outcome["examples"] = 5

    changed = edited(bundle, STEP, boast, on("edge-a", number=1))
    changed = edited(changed, VOTE, boast, on("edge-a", subject="step", number=1))

    def same(model):
        model["inputs"][0]["examples"] = 5
        recommitted_model()(model)

    changed = edited(changed, MODEL, same, of(version=1))
    commitment = next(result_of(one)["commitment"] for one in changed.elements if kind_of(one) == MODEL)
    vote = on("main", subject="aggregate", number=1)
    changed = edited(changed, VOTE, lambda one: one.update(commitment=commitment), vote)
    refused(changed, Check.DATA_SET)


def test_every_record_of_a_data_set_is_proved(bundle):
    refused(replace(bundle, batches=bundle.batches[1:]), Check.MISSING)


def test_a_round_rests_on_the_accepted_round_before_it(round_bundle):
    before = edited(
        round_bundle, VOTE, lambda one: one.update(result=OTHER), on("main", subject="aggregate", number=1)
    )
    refused(before, Check.AGGREGATE, whole=False)
    before = edited(
        round_bundle, VOTE, lambda one: one.update(result=OTHER), on("edge-b", subject="step", number=1)
    )
    refused(before, Check.STEP, whole=False)
    refused(round_bundle, Check.MISSING, whole=True)  # a round is no lineage


def test_a_model_stands_on_main(bundle, trust):
    with pytest.raises(AuditError) as refusal:
        verify_bundle(replace(bundle, chain="edge-a"), trust)
    assert refusal.value.check is Check.SUBJECT
