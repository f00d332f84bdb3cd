"""What a device signs."""

from __future__ import annotations

import itertools

from gateway.client.readings import ReadingSigner
from identity import KeyPair


def test_fresh_nonces_and_keys_are_all_different_and_in_the_order_of_time() -> None:
    now = 1_700_000_000.0
    signer = ReadingSigner("edge-a", "sensor-1", KeyPair.generate(), clock=lambda: now)
    words = []
    for _ in range(50):
        prepared = signer.sign(b"x", "text/plain")
        words.append({prepared.reading.nonce, prepared.idempotency_key})
        now += 1
    assert len(set[str]().union(*words)) == 100
    assert all(max(before) < min(after) for before, after in itertools.pairwise(words))
