"""A kubelet whose containers are processes of this machine: enough of one to run the chart's pods for real.

A pod has a network namespace and an address of its own; a container has its own root (this machine's, read-only where
it asks for that), its volumes, its user and no capabilities. Probes, restarts, native sidecars, preStop hooks and the
grace period are as Kubernetes describes them. Not there: Services, limits of CPU and memory, seccomp. Linux and root.
"""
