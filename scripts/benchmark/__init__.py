"""The benchmark: a fresh network of real daemons, real clients, honest figures."""
