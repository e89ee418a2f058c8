"""The ``network.toml`` that ``tidegate network example`` prints: usable as it is, and commented for real hosts."""

from __future__ import annotations

from typing import Final

BUSINESS_EXAMPLE: Final = """\
# A network of three members. As it stands, all of it runs on one machine; for real hosts change the addresses.
#   tidegate network check network.toml
#   tidegate network new network.toml -o network          (one operator has all keys)
#   tidegate network propose network.toml -o proposal.json   (each member makes its own; docs/networks.md)

[business]
name = "business"
# How long the first certificates hold; they are renewed before that: tidegate admission renew.
certificate_days = 365

# Who admits others to the chain, and governs it until a policy `governors` says otherwise: 2 of these 3.
[business.authority]
organisations = ["Platform B", "Insurer C", "Member D"]
threshold = 2

# One table for each node. `address` is where the others reach it. `listen` is where it listens: left out, every
# address of that port on a real host, and loopback alone where the address is loopback.
[[business.node]]
name = "platform-b"
organisation = "Platform B"
address = "127.0.0.1:7301"              # on a real host: "b.example.org:7300"
services = ["transaction", "bookkeeping"]
# metrics_listen = "127.0.0.1:7500"     # /metrics, /livez, /readyz
# rpc_listen = "127.0.0.1:7400"         # RPC over TCP beside the Unix socket
# home = "/var/lib/tidegate/platform-b" # on its host; this is the default

[[business.node]]
name = "insurer-c"
organisation = "Insurer C"
address = "127.0.0.1:7302"
services = ["settlement"]

[[business.node]]
name = "member-d"
organisation = "Member D"
address = "127.0.0.1:7303"
# validator = false                     # it would follow and submit, and not decide
# candidate = true                      # and might become a validator by governance

# A currency. Amounts are in minor units; {NAME} in a lock is the member key of that organisation.
[[business.asset]]
asset = "CNY"
scale = 2
issuer = "Insurer C"
supply = [{ amount = 1_000_000_00, lock = "key({Insurer C})" }]

# What every node of the chain must agree on; docs/operator.md. Governance can change it later.
[business.parameters]
empty_block_ms = 5000
"""

SUPERVISED_EXAMPLE: Final = """\
# A business chain and the regulator's supervision chain, joined by two fusion nodes. As it stands, all of it runs on
# one machine; for real hosts change the addresses.

[business]
name = "business"
certificate_days = 365

[business.authority]
organisations = ["Platform B", "Insurer C", "Member D"]
threshold = 2

[[business.node]]
name = "platform-b"
organisation = "Platform B"
address = "127.0.0.1:7301"
services = ["transaction", "bookkeeping"]

[[business.node]]
name = "insurer-c"
organisation = "Insurer C"
address = "127.0.0.1:7302"
services = ["settlement"]

[[business.node]]
name = "member-d"
organisation = "Member D"
address = "127.0.0.1:7303"

[[business.node]]
name = "member-e"
organisation = "Member E"
address = "127.0.0.1:7304"

[[business.asset]]
asset = "CNY"
issuer = "Insurer C"
supply = [{ amount = 1_000_000_00, lock = "key({Insurer C})" }]

[supervision]
name = "supervision"
certificate_days = 365

[supervision.authority]
organisations = ["Regulator", "Regulator Branch"]
threshold = 2

# Authorities open sealed documents and decide; their nodes run the service, their member keys have the role.
[[supervision.node]]
name = "regulator"
organisation = "Regulator"
address = "127.0.0.1:7311"
services = ["authority"]
roles = ["authority", "member", "service"]

[[supervision.node]]
name = "regulator-branch"
organisation = "Regulator Branch"
address = "127.0.0.1:7312"
services = ["authority"]
roles = ["authority", "member", "service"]

[[supervision.node]]
name = "platform-b-operations"
organisation = "Platform B Operations"
address = "127.0.0.1:7313"

[[supervision.node]]
name = "insurer-c-operations"
organisation = "Insurer C Operations"
address = "127.0.0.1:7314"

# Keys of persons, without a node; {Regulator Officers#1} in locks.
[[supervision.holder]]
name = "officer-1"
organisation = "Regulator Officers"
roles = ["officer"]

[[supervision.holder]]
name = "officer-2"
organisation = "Regulator Officers"
roles = ["officer"]

[[supervision.policy]]
name = "officers"
lock = "threshold(2,key({Regulator Officers#1}),key({Regulator Officers#2}))"

[[supervision.policy]]
name = "authorities"
lock = "any(key({Regulator}),key({Regulator Branch}))"

# One daemon each, with a home of either chain.
[[fusion]]
name = "fusion-1"
organisation = "Fusion 1"
business_address = "127.0.0.1:7321"
supervision_address = "127.0.0.1:7322"

[[fusion]]
name = "fusion-2"
organisation = "Fusion 2"
business_address = "127.0.0.1:7323"
supervision_address = "127.0.0.1:7324"
"""
