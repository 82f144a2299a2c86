"""ONNX Runtime tells nobody of us."""

import os
import subprocess
import sys
from pathlib import Path


def test_no_device_is_named_and_nothing_is_kept_to_be_sent(tmp_path: Path) -> None:
    """It would leave a name for this machine in the home of the user, beside what it means to send."""
    model = Path(__file__).parents[3] / "service/inferstream/model_repository/fraud/1/model.onnx"
    code = "import sys, inferstream.inprocess, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code, model], env=environ, check=True, timeout=60)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
