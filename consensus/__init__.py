"""How validators agree: a pure state machine (QBFT), without I/O, clock or randomness.

One function, ``consensus.machine.step(state, event, now_ms)``, takes what happened (``consensus.inputs``) and returns
what has to be done (``consensus.effects``). The contract with the driver:

* One event at a time. Effects are performed in order, those of one step before those of the next. Steps may be batched
  before their effects are performed, up to and including one that ends in ``CommitBlock``.
* ``Persist`` is durable before any later effect is performed; all Persists of a batch may be moved to its front and
  share one sync. When the sync fails, nothing more is performed and the node stops.
* After start: ``restore`` the state from the signer log; give ``LatestOwnMessage`` for what connected validators return
  (a quorum less one of them, or a second or two); only then ``HeightStarted`` for the tip's successor. A validator that
  was restored from a backup signs twice if the height starts before its peers have answered.
* After each commit or import: ``HeightStarted`` for the next height. A step that orders ``CommitBlock`` orders nothing
  else of that height afterwards, and all further events of it are ignored.
* ``CheckBlock``, ``BuildBlock``, ``FetchBlock`` take time; answers come as events, late ones are ignored. A block is
  reported not ok only for what no later moment can change.
* Only what ``consensus.verify`` has made is handed in. Messages of the current height and the next are
  ``MessageReceived``; of earlier ones, ``StragglerHeard``; of later ones, a matter for sync.

Modules, from the bottom: ``messages``, ``epoch``, ``timing`` (values); ``verified``, ``verify``, ``justification`` (who
may say what); ``guard``, ``records`` (what is never forgotten); ``tally``, ``future``, ``state`` (what is remembered);
``turn``, ``deciding``, ``liveness``, ``voting``, ``proposing``, ``rounds``, ``accepting``, ``heights``, ``machine``
(transitions).
"""
