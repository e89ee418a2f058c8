"""Services that run inside a member's daemon (PROTOCOL.md 1.3), against ``Gateway`` and ``ServiceLink`` alone.

* ``ServiceSwitch(link, organisation)``: a ``ServiceLink`` that answers for services of the own organisation that run in
  this daemon, and passes everything else on. ``switch.call(service, payload)`` is what the RPC's ``service.call`` does.
* ``TransactionService(gateway, link, key, organisation, *, contract, bookkeeper)``: the platform's. Standardises sales,
  has them booked by the bookkeeping service of ``bookkeeper`` (an organisation; its own where empty), and signs with
  the platform's key what says exactly what it sold.
* ``BookkeepingService(gateway, link, key, organisation, *, contract, agreements)``: any member's. Executes agreements,
  and delivers settlement requests to the insurer.
* ``SettlementService(gateway, link, key, organisation, *, contract)``: the insurer's. Verifies requests and settles.

``contract`` is the address of the commission contract, ``commission`` by default; ``agreements`` limits a bookkeeping
service to some of them (None: all). Each has ``async def run()`` for a task of the daemon's ``TaskGroup``: it serves
until it is cancelled, survives an unreachable peer or an overloaded node, and raises only what is fatal.
"""

from __future__ import annotations

from node.services.bookkeeping import BookkeepingService
from node.services.settlement import SettlementService
from node.services.switch import ServiceSwitch
from node.services.transaction import TransactionService

__all__ = ["BookkeepingService", "ServiceSwitch", "SettlementService", "TransactionService"]
