"""The daemon's RPC: JSON-RPC 2.0 over HTTP on a Unix socket, and binary bulk submission beside it."""
