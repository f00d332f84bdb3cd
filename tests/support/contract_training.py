"""A training run over three interlocked fake chains, driven by direct submissions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from contract_chains import AnchoringChain, carry, proof_of
from contract_people import Interlocked
from world_state import caller

from chaincode.api import (
    AdoptRun,
    AggregateInput,
    Attest,
    Attestation,
    CommitModel,
    CreateRun,
    CrossChainProof,
    EdgeRoster,
    Environment,
    ModelVersion,
    Outcome,
    PublishedModel,
    PublishModel,
    Recipe,
    Run,
    Step,
    Subject,
    SubmitStep,
)
from identity import Identity, Role
from protocol.commitments import aggregate_commitment, recipe_digest, step_commitment
from protocol.encodings import sha256

ENVIRONMENT = Environment("3.11.9", "2.9.0", "x86_64", "avx2")
RECIPE = Recipe(
    code="edgeproof/sgd/v1",
    model="mlp",
    data_set="edgeproof/digits/v1",
    classes=10,
    features=64,
    epochs=1,
    batch_size=32,
    learning_rate_ppm=100_000,
    momentum_ppm=900_000,
    seed=7,
    fixed_point_bits=24,
)
INITIAL = sha256(b"initial weights")


def trainer(msp_id: str) -> Identity:
    return caller(msp_id, Role.TRAINER)


def aggregator(msp_id: str) -> Identity:
    return caller(msp_id, Role.AGGREGATOR)


def example_run(deadline: int = 1_750_003_600, rounds: int = 3, threshold: int = 2) -> Run:
    """Both edges with three organisations each, main with two; an hour from the chains' clock."""
    return Run(
        run="digits",
        recipe=RECIPE,
        rounds=rounds,
        rosters=(
            EdgeRoster("edge-a", ("A1", "A2", "A3"), threshold),
            EdgeRoster("edge-b", ("B1", "B2", "B3"), threshold),
            EdgeRoster("main", ("Cloud1", "Cloud2"), 2),
        ),
        initial=INITIAL,
        deadline=deadline,
    )


def commit_step(step: Step, recipe: Recipe = RECIPE) -> Step:
    """The step with the commitment that follows from its fields."""
    commitment = step_commitment(
        step.result, step.parent, step.aggregate, step.data, recipe_digest(recipe), step.number, step.run
    )
    return replace(step, commitment=commitment)


def commit_model(model: ModelVersion, recipe: Recipe = RECIPE) -> ModelVersion:
    """The version with the commitment that follows from its fields."""
    commitment = aggregate_commitment(
        model.result, model.parent, model.inputs, recipe_digest(recipe), model.version, model.run
    )
    return replace(model, commitment=commitment)


def step_vote(step: Step, organisation: str, agrees: bool = True) -> Attest:
    """An organisation's honest-looking vote on a step."""
    recomputed = step.result if agrees else sha256(b"another result")
    return Attest(
        Attestation(
            subject=Subject.STEP,
            run=step.run,
            number=step.number,
            attempt=step.attempt,
            commitment=step.commitment,
            organisation=organisation,
            agrees=agrees,
            verdict="equal" if agrees else "differs",
            recomputed=recomputed,
            environment=ENVIRONMENT,
        )
    )


def model_vote(model: ModelVersion, organisation: str, agrees: bool = True) -> Attest:
    """An organisation's honest-looking vote on an aggregate."""
    recomputed = model.result if agrees else sha256(b"another aggregate")
    return Attest(
        Attestation(
            subject=Subject.AGGREGATE,
            run=model.run,
            number=model.version,
            attempt=model.attempt,
            commitment=model.commitment,
            organisation=organisation,
            agrees=agrees,
            verdict="equal" if agrees else "differs",
            recomputed=recomputed,
            environment=ENVIRONMENT,
        )
    )


@dataclass
class Training:
    """The run adopted everywhere; knows where the last proofs are."""

    chains: Interlocked
    run: Run
    steps: dict[tuple[str, int], Step] = field(default_factory=dict)
    models: dict[int, ModelVersion] = field(default_factory=dict)
    outcome_proofs: dict[tuple[str, int], CrossChainProof] = field(default_factory=dict)

    @property
    def edges(self) -> tuple[AnchoringChain, AnchoringChain]:
        return (self.chains.a, self.chains.b)

    def next_step(self, edge: AnchoringChain, number: int, attempt: int = 1) -> Step:
        """The step that follows what was accepted so far; by the edge's first organisation."""
        before = self.steps.get((edge.chain, number - 1))
        model = self.models.get(number - 1)
        return commit_step(
            Step(
                run=self.run.run,
                number=number,
                attempt=attempt,
                trainer=edge.organisations[0],
                parent=before.result if before else INITIAL,
                aggregate=model.result if model else INITIAL,
                aggregate_version=number - 1,
                data=sha256(b"manifest of %s" % edge.chain.encode()),
                examples=100,
                result=sha256(f"{edge.chain} {number} {attempt}".encode()),
                commitment=b"",
                environment=ENVIRONMENT,
            )
        )

    def step_proof(self, number: int) -> CrossChainProof | None:
        return self.outcome_proofs.get(("main", number - 1))

    def submit_step(self, edge: AnchoringChain, number: int) -> Step:
        """Submitted, not voted on."""
        step: Step = edge.submit(
            SubmitStep(self.next_step(edge, number), self.step_proof(number)), trainer(edge.organisations[0])
        )
        return step

    def accept_step(self, edge: AnchoringChain, number: int) -> Outcome:
        """Submitted and accepted with one more organisation's vote; carried to main with its proof."""
        step = self.submit_step(edge, number)
        second = edge.organisations[1]
        pending = edge.commit(edge.simulate(step_vote(step, second), trainer(second)))
        anchored = edge.anchor()
        carry(anchored, self.chains.main)
        self.outcome_proofs[(edge.chain, number)] = proof_of(anchored, pending.transaction)
        self.steps[(edge.chain, number)] = step
        outcome: Outcome = pending.result
        return outcome

    def next_model(self, version: int, attempt: int = 1) -> CommitModel:
        """The aggregate of the round's accepted steps, with its proofs."""
        inputs = tuple(
            AggregateInput(
                edge.chain,
                version,
                self.steps[(edge.chain, version)].attempt,
                self.steps[(edge.chain, version)].commitment,
                self.steps[(edge.chain, version)].result,
                self.steps[(edge.chain, version)].examples,
            )
            for edge in self.edges
        )
        before = self.models.get(version - 1)
        model = commit_model(
            ModelVersion(
                run=self.run.run,
                version=version,
                attempt=attempt,
                parent=before.result if before else INITIAL,
                inputs=inputs,
                result=sha256(f"aggregate {version} {attempt}".encode()),
                commitment=b"",
                author="Cloud1",
                environment=ENVIRONMENT,
            )
        )
        proofs = tuple(self.outcome_proofs[(edge.chain, version)] for edge in self.edges)
        return CommitModel(model, proofs)

    def accept_model(self, version: int) -> PublishedModel:
        """Committed, accepted, carried to the edges, and published on the first."""
        model = self.chains.main.submit(self.next_model(version), aggregator("Cloud1"))
        main = self.chains.main
        pending = main.commit(main.simulate(model_vote(model, "Cloud2"), aggregator("Cloud2")))
        anchored = main.anchor()
        for edge in self.edges:
            carry(anchored, edge)
        self.models[version] = model
        self.outcome_proofs[("main", version)] = proof_of(anchored, pending.transaction)
        published: PublishedModel = self.chains.a.submit(
            PublishModel(self.outcome_proofs[("main", version)]), caller("A3")
        )
        return published


def start_training(chains: Interlocked, run: Run | None = None) -> Training:
    """Create the run on main, carry it down, adopt it on both edges."""
    training = Training(chains, run or example_run())
    pending = chains.main.commit(chains.main.simulate(CreateRun(training.run), aggregator("Cloud1")))
    anchored = chains.main.anchor()
    for edge in training.edges:
        carry(anchored, edge)
        edge.submit(AdoptRun(proof_of(anchored, pending.transaction)), edge.relay)
    return training
