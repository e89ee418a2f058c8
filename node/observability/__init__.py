"""What an operator sees of a daemon: metrics, health, spans (docs/metrics.md).

Parts of the daemon count in plain integers; everything else happens when somebody asks. What is imported by the
daemon's other parts (``histogram``, ``rpc_meter``, ``step_times``) loads no library.
"""
