"""The ceremony: k parties make an N whose factors none of them knows.

Boneh-Franklin as improved by Malkin, Wu and Boneh; honest-but-curious, with openings of every discarded
candidate. Pure: `edgeproof.ceremony` gives it connections, keys and files. Not imported by `accumulator`.
"""

from accumulator.ceremony.errors import (
    CeremonyError,
    Disagreement,
    InvalidSettings,
    InvalidTranscript,
    Misbehaviour,
)
from accumulator.ceremony.messages import Kind, join, split
from accumulator.ceremony.public import Outcome
from accumulator.ceremony.session import Aborted, BatchFinished, Command, Finished, Progress, Send, Session
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.transcript import History, check_result

__all__ = [
    "Aborted",
    "BatchFinished",
    "CeremonyError",
    "Command",
    "Disagreement",
    "Finished",
    "History",
    "InvalidSettings",
    "InvalidTranscript",
    "Kind",
    "Misbehaviour",
    "Outcome",
    "Progress",
    "Send",
    "Session",
    "Settings",
    "check_result",
    "join",
    "split",
]
