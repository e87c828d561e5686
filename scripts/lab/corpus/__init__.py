"""Files of a corpus run by two daemons, and what the two did compared (`scripts/corpus-run`).

Read in this order: needs.py (what a file needs of its host), world.py (one daemon with one file in a box of its own), answers.py (the
servers that its checks connect to), frames.py (what crossed the cables), compare.py (differences, each with its kind), known.py (the
kinds that are wanted, and why).
"""
