"""edgeproof"""
