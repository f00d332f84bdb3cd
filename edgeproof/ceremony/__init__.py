"""The ceremony's connections, keys and files; the protocol itself is `accumulator.ceremony`."""
