"""A client of Hyperledger Fabric's Gateway on grpcio and the official protos. (thin; see gateway.py)"""
