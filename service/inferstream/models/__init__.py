"""Building the shipped models, offline: data, training, distillation, export, evaluation (extra `models`).

`python -m inferstream.models build fraud`. The service never imports this package.
"""
