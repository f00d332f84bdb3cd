"""Training in a small world, by direct submissions: everything but the numbers is real.

Tree hashes stand for weights that nobody computes here; commitments, proofs, votes and anchors are what the
contracts ask for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from world import MAIN, World

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
    Recipe,
    Run,
    Step,
    Subject,
    SubmitStep,
)
from identity.roles import Role
from ledger.port import call, submit_typed
from protocol.commitments import (
    aggregate_commitment,
    data_set_digest,
    manifest_bytes,
    recipe_digest,
    step_commitment,
)
from protocol.encodings import sha256, tagged_hash

ENVIRONMENT = Environment("3.11", "2.9", "x86_64", "avx2")
RECIPE = Recipe(
    code="edgeproof/sgd/v1",
    model="logistic",
    data_set="edgeproof/digits/v1",
    classes=10,
    features=64,
    epochs=1,
    batch_size=32,
    learning_rate_ppm=100_000,
    momentum_ppm=0,
    seed=7,
    fixed_point_bits=24,
)


@dataclass
class Training:
    """A run under way in a world."""

    world: World
    run: Run
    results: dict[str, bytes]
    """By chain, the accepted result of the newest round."""
    votes: dict[tuple[str, int], str]
    """By chain and round, the transaction that made the step or aggregate accepted."""
    round: int = 0

    def play(self, *, attempts: int = 1) -> None:
        """One round: steps on every edge, their votes, anchors up, the aggregate, its vote, anchors down.

        Args:
            attempts: of every step; all but the last are rejected by two other organisations.
        """
        self.round += 1
        for edge in self._edges:
            for attempt in range(1, attempts + 1):
                self._step(edge, attempt, agree=attempt == attempts)
        self.world.interlock()
        self._aggregate()
        self.world.interlock()

    def step_of(self, edge: str, attempt: int = 1) -> Step:
        """The honest step of the present round."""
        number = self.round
        records = self.world.records[edge]
        digest = data_set_digest(records)
        self.world.manifests[digest] = manifest_bytes(records)
        result = tagged_hash("tests/result", edge, number, attempt)
        organisations = self.world.chains[edge].organisations
        aggregate = self.results[MAIN]
        commitment = step_commitment(
            result, self.results[edge], aggregate, digest, recipe_digest(RECIPE), number, self.run.run
        )
        return Step(
            run=self.run.run,
            number=number,
            attempt=attempt,
            trainer=organisations[(number - 1) % len(organisations)],
            parent=self.results[edge],
            aggregate=aggregate,
            aggregate_version=number - 1,
            data=digest,
            examples=len(records),
            result=result,
            commitment=commitment,
            environment=ENVIRONMENT,
        )

    @property
    def _edges(self) -> list[str]:
        return [roster.chain for roster in self.run.rosters if roster.chain != MAIN]

    def _step(self, edge: str, attempt: int, *, agree: bool) -> None:
        step = self.step_of(edge, attempt)
        organisations = self.world.chains[edge].organisations
        proof = None
        if step.aggregate_version:
            proof = self.proof(MAIN, self.votes[MAIN, step.aggregate_version])
        position = organisations.index(step.trainer)
        call(self.world.acting_as(edge, Role.TRAINER, position), SubmitStep(step, proof))
        others = [at for at in range(len(organisations)) if at != position]
        for other in others[: 1 if agree else 2]:
            vote = self._vote(
                Subject.STEP, attempt, step.commitment, step.result, organisations[other], agree
            )
            receipt = self.world.acting_as(edge, Role.TRAINER, other).submit(Attest(vote))
            if agree:
                self.votes[edge, self.round] = receipt.transaction
        if agree:
            self.results[edge] = step.result

    def _aggregate(self) -> None:
        inputs, proofs = [], []
        for edge in self._edges:
            proof = self.proof(edge, self.votes[edge, self.round])
            outcome = self._outcome(proof)
            inputs.append(
                AggregateInput(
                    edge,
                    outcome.number,
                    outcome.attempt,
                    outcome.commitment,
                    outcome.result,
                    outcome.examples,
                )
            )
            proofs.append(proof)
        result = tagged_hash("tests/aggregate", self.round)
        main = self.world.chains[MAIN].organisations
        commitment = aggregate_commitment(
            result, self.results[MAIN], inputs, recipe_digest(RECIPE), self.round, self.run.run
        )
        model = ModelVersion(
            run=self.run.run,
            version=self.round,
            attempt=1,
            parent=self.results[MAIN],
            inputs=tuple(inputs),
            result=result,
            commitment=commitment,
            author=main[0],
            environment=ENVIRONMENT,
        )
        call(self.world.acting_as(MAIN, Role.AGGREGATOR, 0), CommitModel(model, tuple(proofs)))
        vote = self._vote(Subject.AGGREGATE, 1, commitment, result, main[1], agree=True)
        receipt = self.world.acting_as(MAIN, Role.AGGREGATOR, 1).submit(Attest(vote))
        self.votes[MAIN, self.round] = receipt.transaction
        self.results[MAIN] = result

    def proof(self, chain: str, transaction: str) -> CrossChainProof:
        """A cross-chain proof of a transaction."""
        return self.world.prover.cross_chain_proof(chain, transaction)

    def _outcome(self, proof: CrossChainProof) -> Outcome:
        from chaincode.payloads import decode_result

        outcome: Outcome = decode_result(Attest, proof.payload.encode())
        return outcome

    def _vote(
        self, subject: Subject, attempt: int, commitment: bytes, result: bytes, organisation: str, agree: bool
    ) -> Attestation:
        return Attestation(
            subject=subject,
            run=self.run.run,
            number=self.round,
            attempt=attempt,
            commitment=commitment,
            organisation=organisation,
            agrees=agree,
            verdict="equal" if agree else "differs",
            recomputed=result if agree else sha256(b"other" + result),
            environment=ENVIRONMENT,
        )


def start_training(world: World, name: str = "digits", rounds: int = 5) -> Training:
    """Create a run over all chains of the world and have every edge adopt it."""
    rosters = tuple(EdgeRoster(chain, made.organisations, 2) for chain, made in sorted(world.chains.items()))
    initial = sha256(b"initial weights")
    run = Run(name, RECIPE, rounds, rosters, initial, int(time.time()) + 3600)
    receipt, _ = submit_typed(world.acting_as(MAIN, Role.AGGREGATOR), CreateRun(run))
    world.interlock()
    proof = world.prover.cross_chain_proof(MAIN, receipt.transaction)
    for edge in (roster.chain for roster in rosters if roster.chain != MAIN):
        call(world.ledgers[edge], AdoptRun(proof))
    return Training(world, run, dict.fromkeys((roster.chain for roster in rosters), initial), {})


def altered_step(step: Step, **fields: object) -> Step:
    """A copy with some fields replaced and the commitment made anew."""
    changed = replace(step, **fields)
    commitment = step_commitment(
        changed.result,
        changed.parent,
        changed.aggregate,
        changed.data,
        recipe_digest(RECIPE),
        changed.number,
        changed.run,
    )
    return replace(changed, commitment=commitment)
