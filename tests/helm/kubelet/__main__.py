"""`python -m tests.helm.kubelet KUBECONFIG FOLDER`: a node of that cluster until ctrl-C; logs go to the folder."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from tests.helm.api import connected
from tests.helm.kubelet.node import Node


async def _main(kubeconfig: str, folder: str) -> None:
    async with connected(Path(kubeconfig)) as api:
        await Node(api, Path(folder).resolve(), print).run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(*sys.argv[1:]))
