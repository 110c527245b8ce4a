"""The table of stages, and what runs it: guards, preflight, plan, publication."""
