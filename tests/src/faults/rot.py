"""What `rot.rs` does to the spool of an agent.

newest SPOOL                         the newest batch
waits SPOOL AFTER WORD               how many batches after one do not hold a word
turn SPOOL AFTER WORD CHANCE CHANCE  turns a bit of one of these; its batch and place
"""

import sqlite3
import sys

WAITING = "SELECT number FROM batches WHERE number > ? AND instr(batch, ?) = 0 ORDER BY number"

what, path, *arguments = sys.argv[1:]
spool = sqlite3.connect(f"file:{path}?mode=rw", timeout=30, uri=True)
if what == "newest":
    print(spool.execute("SELECT newest FROM numbers").fetchone()[0])
    sys.exit()

after, word, *chances = arguments
waiting = [row[0] for row in spool.execute(WAITING, (int(after), word.encode()))]
if what == "waits":
    print(len(waiting))
elif what == "turn":
    if not waiting:
        sys.exit("nothing waits any more")
    which, where = map(int, chances)
    number = waiting[which % len(waiting)]
    found = spool.execute("SELECT batch FROM batches WHERE number = ?", (number,))
    batch = bytearray(found.fetchone()[0])
    bit = where % (8 * len(batch))
    batch[bit // 8] ^= 1 << (bit % 8)
    with spool:
        spool.execute("UPDATE batches SET batch = ? WHERE number = ?", (batch, number))
    print(f"batch {number}, bit {bit}")
else:
    sys.exit(__doc__)
