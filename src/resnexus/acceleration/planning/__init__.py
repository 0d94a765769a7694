"""The choice of what runs a network: what is tried, judged, timed, chosen and kept."""
