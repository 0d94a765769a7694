"""The main job: train, evaluate, count and time networks on your data, and write the series' page anew."""
