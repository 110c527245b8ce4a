"""Benchmarks, run by `make bench`: they measure what docs/performance.md reports."""
