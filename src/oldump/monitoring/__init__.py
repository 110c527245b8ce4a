"""Run status as seen from outside, notifications and metrics."""
