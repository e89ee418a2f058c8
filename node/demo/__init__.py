"""The demo: commissions and supervised prescriptions on two local networks of real daemons, some killed meanwhile.

Every organisation has a home and keys of its own; what an organisation signs is signed in its own daemon, or here with
the key from its own home and nothing else (``cast.Member``). What comes out is checked by ``audit``, which shares no
code with the product.
"""
