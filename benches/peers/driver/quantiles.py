"""What is made of many values."""

import statistics


def quantile(ordered, share):
    """Of values in their order; `None` if there are none."""
    if not ordered:
        return None
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def median(values):
    """`None` if there are none."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None
