"""Run status seen from outside, notifications and metrics."""
