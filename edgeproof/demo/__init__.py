"""The demo: the whole system on one machine, on real data, attacked and audited."""
