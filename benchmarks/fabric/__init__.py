"""Measurements on real Hyperledger Fabric networks (``make bench-fabric``)."""
