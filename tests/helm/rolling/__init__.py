"""The very chart on a process kubelet, under load: what an upgrade, a change of scale and of secrets costs."""
