"""Scale up on one machine: `inferstream run --workers N`.

The parent (`supervisor`) keeps one child process per worker (`slot`, `process`), each the whole service (`worker`) in
the same consumer groups. It has the health port; the workers tell it over a socket (`channel`) how they are and what
they counted, and it tells the sum (`merge`). The parent imports nothing of the data path.
"""
