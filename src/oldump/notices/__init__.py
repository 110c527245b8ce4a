"""Who is told of a run: announcement tells, metrics_file keeps the metrics, checks looks beforehand."""
