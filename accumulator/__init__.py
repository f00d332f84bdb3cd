"""accumulator"""
