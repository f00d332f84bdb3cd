"""How many candidates ceremonies take, and what one costs: ``python -m benchmarks.ceremony [BITS=RUNS …]``.

All parties in one process, with real signatures and no network: the cost is the CPU time of all parties
together, over all candidates (sieve, product, tests, openings and their check, transcript).
"""

from __future__ import annotations

import secrets
import statistics
import sys
import time
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec

from accumulator.ceremony import Aborted, Command, History, Send, Session, Settings
from identity.signatures import sign_der, spki_of, verify_ecdsa


def run(bits: int, parties: int, batch: int) -> tuple[int, int, float]:
    """One ceremony: (candidates, tested for biprimality, CPU seconds of all parties together)."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(parties)]
    public = [spki_of(key.public_key()) for key in keys]
    settings = Settings(secrets.token_bytes(32), parties, bits, batch, 100)
    _ = settings.field, settings.sieve, settings.trial  # made once a ceremony, small beside the rest

    def verify(party: int, message: bytes, signature: bytes) -> None:
        verify_ecdsa(public[party - 1], message, signature)

    begun = time.process_time()
    histories = [History(settings, verify) for _ in keys]
    sessions = [
        Session(i + 1, histories[i], partial(sign_der, key), secrets.token_bytes)
        for i, key in enumerate(keys)
    ]
    waiting: list[tuple[int, Send]] = []

    def take(party: int, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Aborted):
                raise command.error
            if isinstance(command, Send):
                waiting.append((party, command))

    for i, session in enumerate(sessions):
        take(i + 1, session.start())
    while waiting:
        sender, sent = waiting.pop(0)
        take(sent.to, sessions[sent.to - 1].receive(sender, sent.message))
    outcomes = histories[0].outcomes
    return (
        sum(outcome.candidates for outcome in outcomes),
        sum(outcome.tested for outcome in outcomes),
        time.process_time() - begun,
    )


def main(arguments: list[str]) -> None:
    """Print one table row for each BITS=RUNS."""
    for argument in arguments or ["512=30", "768=20", "1024=10"]:
        bits, _, runs = argument.partition("=")
        batch = 256 if int(bits) >= 1536 else 32
        results = [run(int(bits), 3, batch) for _ in range(int(runs or "1"))]
        counts = sorted(candidates for candidates, _, _ in results)
        total = sum(counts)
        seconds = sum(spent for _, _, spent in results)
        expected = Settings(bytes(32), 3, int(bits), batch, 100).expected_candidates
        print(
            f"| {bits} | {len(results)} | {expected:,.0f} | {statistics.mean(counts):,.0f} | "
            f"{counts[0]:,} / {statistics.median(counts):,.0f} / {counts[-1]:,} | "
            f"{sum(tested for _, tested, _ in results) / total:.3f} | {1000 * seconds / total:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
